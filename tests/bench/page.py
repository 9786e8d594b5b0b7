# SPDX-License-Identifier: MIT
"""What the benchmarks share to show their figures: tables as text and as a page's, plots."""
import subprocess
import sys


def text_table(lines, right):
    """Columns for a terminal; those with an index in `right` are figures."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(c.rjust(w) if i in right else c.ljust(w)
                               for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def markdown(lines, right):
    """The same for a page; the first line are the headings."""
    rule = ["--:" if i in right else "---" for i in range(len(lines[0]))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule] + lines[1:])


def put(page, mark, text):
    """Between the marks of a page; the text around them is a person's."""
    begin, end = f"<!-- {mark} -->\n", "\n<!-- end -->"
    with open(page) as f:
        head, rest = f.read().split(begin)
    with open(page, "w") as f:
        f.write(head + begin + text + end + rest.split(end, 1)[1])


def bars(plot, title, ylabel, figures, columns, more=""):
    """Clustered bars by gnuplot. figures: (name, value per column); columns: (name, colour)."""
    data = "\n".join(f'"{name}" ' + " ".join("NaN" if v is None else f"{v:.3f}" for v in values)
                     for name, *values in figures)
    curves = ", \\\n     ".join(
        f'$figures using {i + 2}{":xtic(1)" if i == 0 else ""} title "{name}" lc rgb "{colour}"'
        for i, (name, colour) in enumerate(columns))
    script = f"""
set terminal pngcairo size 1040,600 font "DejaVu Sans,10"
set output "{plot}"
$figures << EOD
{data}
EOD
set title "{title}"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 border -1
set boxwidth 0.9
set yrange [0:*]
set ylabel "{ylabel}"
set grid ytics
set xtics rotate by -35 left nomirror noenhanced font ",9"
set key top right
set rmargin 20
{more}
plot {curves}
"""
    if subprocess.run(["gnuplot"], input=script, text=True).returncode != 0:
        sys.exit("gnuplot failed")

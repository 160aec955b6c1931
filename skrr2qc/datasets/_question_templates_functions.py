"""Knowledge points of the strand "Functions"; the language is that of ``_question_templates``."""

import numpy as np

from ._question_templates import Topic, fraction

lines = Topic("Functions", "Straight lines")
graphs = Topic("Functions", "Functions and graphs")
sequences = Topic("Functions", "Sequences and series")
TOPICS = (lines, graphs, sequences)


def _two_points(v):
    """Points (x, y) and (z, w) on a line with slope m and intercept c."""
    v.x, v.m, v.c = v.nonzero(9), v.nonzero(6), v.nonzero(12)
    v.z = v.x + v.whole(1, 8)
    v.y, v.w = v.m * v.x + v.c, v.m * v.z + v.c


@lines(r"""
# Gradient of a line: line, gradient, coordinates
<Find> the gradient of the line through ($<x>$, $<y>$) and ($<z>$, $<w>$).
How steep is the line through A(<x>, <y>) and B(<z>, <w>)? [Give|State] its slope.
A straight road passes the points (<x>, <y>) and (<z>, <w>) of a plan. <Find> its slope.
-> (<w> <y:->) / (<z> <x:->) = <m>.
What is the slope of the line y = <m:x>x <c:+>?
-> The slope is the factor of x: <m>.
""")
def gradient_of_a_line(v):
    _two_points(v)


@lines(r"""
# Equation of a straight line: line, equation, gradient
<Give> the equation of the line through (<x>, <y>) and (<z>, <w>).
A line has gradient <m> and passes through ($<x>$, $<y>$). Write its equation in the form $y = mx +
    c$.
Which straight line goes through A(<x>, <y>) and B(<z>, <w>)? [Give|State] its equation.
-> The slope is <m>, and <y> = <m> x (<x>) + c gives c = <c>: y = <m:x>x <c:+>.
+ Gradient of a line
<Find> the slope of the line through (<x>, <y>) and (<z>, <w>), and write down the equation of the
    line.
-> Slope: (<w> <y:->) / (<z> <x:->) = <m>. Equation: y = <m:x>x <c:+>.
""")
def equation_of_a_line(v):
    _two_points(v)


@lines(r"""
# Parallel and perpendicular lines: line, gradient, parallel
<Give> the line parallel to $y = <m:x>x <c:+>$ through (<x>, <k>).
A line runs parallel to y = <m:x>x <c:+> and passes through (<x>, <k>). Write its equation.
-> Parallel lines share the slope <m>: y = <m:x>x + c with c = <k> <m:-> x (<x>) = <e>.
What is the gradient of a line perpendicular to $y = <m:x>x <c:+>$?
Two lines meet at a right angle. One is y = <m:x>x <c:+>. <Find> the slope of the other.
-> The slopes have the product -1: <p>.
""")
def parallel_lines(v):
    _two_points(v)
    v.k = v.nonzero(9)
    v.e, v.p = v.k - v.m * v.x, fraction(-np.ones_like(v.m), v.m)


@lines(r"""
# Midpoint of a segment: coordinates, line
<Give> the midpoint of the segment from (<x>, <y>) to (<z>, <w>).
Which point lies halfway between A($<x>$, $<y>$) and B($<z>$, $<w>$)?
<Name> and <friend> stand at (<x>, <y>) and (<z>, <w>) of a grid and meet in the middle. Where is
    that?
-> Take the mean of the coordinates: (<mx>, <my>).
M(<mx>, <my>) is the midpoint of A(<x>, <y>) and B. <Find> the coordinates of B.
-> B = (2 x (<mx>) <x:->, 2 x (<my>) <y:->) = (<z>, <w>).
""")
def midpoint(v):
    _two_points(v)
    v.mx, v.my = (v.x + v.z) / 2, (v.y + v.w) / 2


@lines(r"""
# Distance between two points: coordinates, distance
<Find> the distance between (<x>, <y>) and (<z>, <w>).
How far apart are the points A($<x>$, $<y>$) and B($<z>$, $<w>$)?
How long is the segment from (<x>, <y>) to (<z>, <w>)?
On a grid with squares of 1 km, <name> lives at (<x>, <y>) and <friend> at (<z>, <w>). How far apart
    do they live as the crow flies?
-> sqrt(<dx>^2 + <dy>^2) = sqrt(<d2>) = <d> (to two decimals where needed).
""")
def distance_between_points(v):
    v.x, v.y, scale = v.nonzero(9), v.nonzero(9), v.whole(1, 3)
    sides = np.array([(3, 4), (4, 3), (5, 12), (8, 6), (1, 2), (2, 5)])[v.whole(0, 5)]
    v.dx, v.dy = sides[:, 0] * scale, sides[:, 1] * scale
    v.z, v.w, v.d2 = v.x + v.dx, v.y + v.dy, v.dx**2 + v.dy**2
    v.d = np.round(np.sqrt(v.d2), 2)


@graphs(r"""
# Evaluating functions: function, expression
Let $f(x) = <a:x>x^2 <b:+x>x <c:+>$. <Find> $f(<x>)$.
<Find> the value of the function f(x) = <a:x>x^2 <b:+x>x <c:+> at x = <x>.
What does <a:x>x^2 <b:+x>x <c:+> equal when x = <x>?
Which y belongs to x = <x> on the graph of y = <a:x>x^2 <b:+x>x <c:+>?
-> <a> x (<x>)^2 <b:+> x (<x>) <c:+> = <r>.
""")
def evaluating_functions(v):
    v.a, v.b, v.c, v.x = v.whole(1, 5), v.nonzero(9), v.nonzero(12), v.nonzero(5)
    v.r = v.a * v.x**2 + v.b * v.x + v.c


@graphs(r"""
# Domain of a function: function, inequality, root
<Give> the domain of $f(x) = \sqrt{<a>x <b:+>}$.
For which x is sqrt(<a>x <b:+>) defined?
[Give|State] the largest set of real numbers x for which f(x) = sqrt(<a>x <b:+>) makes sense.
-> <a>x <b:+> must not be negative, so x >= <x>.
For which real x is the function $f(x) = \frac{<a>}{x <b:+>}$ not defined?
-> The denominator is 0 for x = <mb>.
""")
def domain_of_a_function(v):
    v.a, v.b = v.whole(2, 9), v.nonzero(20)
    v.mb, v.x = -v.b, fraction(-v.b, v.a)


@graphs(r"""
# Composite functions: function, composition
Let $f(x) = <a>x <b:+>$ and $g(x) = x^2 <c:+>$. <Find> $g(f(<x>))$.
Given f(x) = <a>x <b:+> and g(x) = x^2 <c:+>, <find> g(f(<x>)).
A machine turns x into <a>x <b:+>, and a second machine turns the result u into u^2 <c:+>. What
    comes out for x = <x>?
-> f(<x>) = <u>, and then (<u>)^2 <c:+> = <r>.
<Give> the composite function f(g(x)) of f(x) = <a>x <b:+> and g(x) = x^2 <c:+>.
-> f(g(x)) = <a>(x^2 <c:+>) <b:+> = <a>x^2 <k:+>.
""")
def composite_functions(v):
    v.a, v.b, v.c, v.x = v.whole(2, 7), v.nonzero(9), v.nonzero(9), v.nonzero(4)
    v.u = v.a * v.x + v.b
    v.r, v.k = v.u**2 + v.c, v.a * v.c + v.b


@graphs(r"""
# Inverse functions: function, equation
<Give> the inverse function of $f(x) = <a>x <b:+>$.
Let f(x) = <a>x <b:+>. [Give|State] a formula for the function that undoes f.
-> Solve y = <a>x <b:+> for x: f^-1(y) = (y <b:->) / <a>.
Let $f(x) = <a>x <b:+>$. <Find> $f^{-1}(<y>)$.
For which x does the function f(x) = <a>x <b:+> take the value <y>?
-> <a>x = <y> <b:-> = <ax>, so x = <x>.
""")
def inverse_functions(v):
    v.a, v.b, v.x = v.whole(2, 9), v.nonzero(15), v.nonzero(9)
    v.ax = v.a * v.x
    v.y = v.ax + v.b


@graphs(r"""
# Vertex of a parabola: quadratic, graph, extremum
<Give> the vertex of the parabola $y = x^2 <b:+>x <c:+>$.
[Which point|What] is the lowest point of the graph of y = x^2 <b:+>x <c:+>?
Complete the square to <find> the minimum of y = x^2 <b:+>x <c:+>.
-> y = (x <mh:+>)^2 <k:+>, so the vertex is (<h>, <k>).
A ball flies along $y = -x^2 + <p>x$ (in metres). How high does it get?
-> y = -(x - <half>)^2 + <top>: <top> m.
""")
def vertex_of_a_parabola(v):
    v.h, v.k, v.half = v.nonzero(7), v.nonzero(15), v.whole(1, 12)
    v.mh, v.b, v.p, v.top = -v.h, -2 * v.h, 2 * v.half, v.half**2
    v.c = v.h**2 + v.k
    v.c = np.where(v.c == 0, 1, v.c)
    v.k = v.c - v.h**2


@graphs(r"""
# Translating graphs: graph, function, translation
The graph of $y = x^2$ is moved <a> to the [right|east] and <b> up. Write the equation of the new
    graph.
The parabola y = x^2 is translated <a> units to the right and <b> units upwards. Which function has
    this graph?
-> Replace x by x - <a> and add <b>: y = (x - <a>)^2 + <b>.
How does the graph of y = (x - <a>)^2 + <b> arise from that of $y = x^2$?
Describe the translation that takes y = f(x) to y = f(x - <a>) + <b>.
-> It is moved <a> to the right and <b> up.
""")
def translating_graphs(v):
    v.a, v.b = v.whole(1, 30), v.whole(1, 40)


@graphs(r"""
# Exponential growth and decay: exponential, function, change
A population of <n> [fish|birds|rabbits] grows by <p>% a year. <Find> its size after <t> years.
-> Each year multiplies it by <g>: <n> x <g>^<t> = <up> (rounded).
A <thing> worth <cur><n> loses <p>% of its value each year. What is it worth after <t> years?
-> Each year multiplies the value by <d>: <n> x <d>^<t> = <down> (rounded).
A [sample|culture] of <m> bacteria doubles every hour. How many are there after <h> hours?
The number of bacteria is $N(t) = <m> \cdot 2^t$, with t in hours. <Find> $N(<h>)$.
-> <m> x 2^<h> = <r>.
""")
def exponential_growth(v):
    v.n, v.p, v.t = v.whole(200, 9000, 100), v.whole(2, 20), v.whole(2, 5)
    v.m, v.h = v.whole(10, 90), v.whole(3, 9)
    v.g, v.d = 1 + v.p / 100, 1 - v.p / 100
    v.up, v.down, v.r = np.round(v.n * v.g**v.t), np.round(v.n * v.d**v.t), v.m * 2**v.h


@graphs(r"""
# Laws of logarithms: logarithm, power, expression
<Find> $\log_{<k>} <n>$.
<Find> the logarithm of <n> to the base <k>.
To which power must <k> be raised to give <n>?
-> <k>^<e> = <n>, so the logarithm is <e>.
Write $\log <a> + \log <b>$ as a single logarithm.
Simplify log <a> + log <b>.
-> Sums become products: log(<a> x <b>) = log <ab>.
""")
def laws_of_logarithms(v):
    v.k, v.e, v.a, v.b = v.pick(2, 3, 4, 5, 10), v.whole(2, 6), v.whole(2, 30), v.whole(2, 12)
    v.n, v.ab = v.k**v.e, v.a * v.b


def _arithmetic(v):
    """The terms a, a + d, ...; the n-th of them; and their sum."""
    v.a, v.d, v.n = v.whole(1, 30), v.nonzero(12), v.whole(8, 40)
    v.first = v.a[:, None] + v.d[:, None] * np.arange(4)
    v.m = v.n - 1
    v.l = v.a + v.m * v.d
    v.s = v.n * (v.a + v.l) // 2


@sequences(r"""
# Terms of an arithmetic sequence: sequence, arithmetic progression
<Find> the <n>th term of the sequence <first>, ...
The first terms of a sequence are <first>. What is term number <n>?
An arithmetic sequence starts with <a> and has the common difference <d>. <Find> $a_{<n>}$.
-> The common difference is <d>, so term <n> is <a> + <m> x (<d>) = <l>.
A theatre has <a> seats in the first row and <e> more in every further row. How many are in row <n>?
-> Row <n> has <a> + <m> x <e> = <row> seats.
Write down a formula for the nth term of <first>, ...
-> a_n = <a> + (n - 1) x (<d>).
""")
def arithmetic_terms(v):
    _arithmetic(v)
    v.e = abs(v.d)
    v.row = v.a + v.m * v.e


@sequences(r"""
# Sum of an arithmetic series: sequence, sum, arithmetic progression
<Find> the sum of the first <n> terms of <first>, ...
Add up the first <n> terms of the sequence <first>, ...
An arithmetic series starts with <a> and has the common difference <d>. <Find> $S_{<n>}$.
-> The last term is <l>, so the sum is <n> x (<a> <l:+>) / 2 = <s>.
A theatre has <a> seats in the first row and <e> more in every further row. How many seats do its
    <n> rows have in all?
-> The last row has <row> seats: <n> x (<a> + <row>) / 2 = <total>.
+ Terms of an arithmetic sequence
For the sequence <first>, ... <find> term number <n> and the sum of all terms up to it.
-> Term <n> is <a> + <m> x (<d>) = <l>, and the sum is <n> x (<a> <l:+>) / 2 = <s>.
""")
def arithmetic_series(v):
    arithmetic_terms(v)
    v.total = v.n * (v.a + v.row) // 2


def _geometric(v):
    v.a, v.q, v.n = v.whole(1, 12), v.pick(2, 3, 4, 5, -2, -3), v.whole(5, 9)
    v.first = v.a[:, None] * v.q[:, None] ** np.arange(4)
    v.m, v.q1 = v.n - 1, v.q - 1
    v.l, v.qn = v.a * v.q**v.m, v.q**v.n
    v.s = v.a * (v.qn - 1) // v.q1


@sequences(r"""
# Terms of a geometric sequence: sequence, geometric progression, ratio
<Find> the <n>th term of the sequence <first>, ...
The first terms of a sequence are <first>. What is term number <n>?
A geometric sequence starts with <a> and has the common ratio <q>. <Find> $a_{<n>}$.
-> Each term is the one before times <q>: <a> x (<q>)^<m> = <l>.
Write down a formula for the nth term of <first>, ...
-> a_n = <a> x (<q>)^(n - 1).
""")
def geometric_terms(v):
    _geometric(v)


@sequences(r"""
# Sum of a geometric series: sequence, sum, geometric progression
<Find> the sum of the first <n> terms of <first>, ...
Add up the first <n> terms of the sequence <first>, ...
A geometric series starts with <a> and has the common ratio <q>. <Find> $S_{<n>}$.
-> <a> x ((<q>)^<n> - 1) / (<q> - 1) = <s>.
""")
def geometric_series(v):
    _geometric(v)


@sequences(r"""
# Recurrence relations: sequence, formula
A sequence has $a_1 = <a>$ and $a_{n+1} = <k>a_n <b:+>$. <Find> $a_4$.
<Find> the fourth term of the sequence with first term <a> in which each term is <k> times the one
    before, with <b> added.
The first term of a sequence is <a>, and a_(n+1) = <k>a_n <b:+>. What are the next three terms?
-> <a>, then <t2>, then <t3>, then <t4>.
""")
def recurrence_relations(v):
    v.a, v.k, v.b = v.whole(1, 12), v.whole(2, 5), v.nonzero(9)
    v.t2 = v.k * v.a + v.b
    v.t3 = v.k * v.t2 + v.b
    v.t4 = v.k * v.t3 + v.b

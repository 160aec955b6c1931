"""Knowledge points of the strand "Algebra"; the language is that of ``_question_templates``."""

import numpy as np

from ._question_templates import Topic, fraction

expressions = Topic("Algebra", "Expressions")
equations = Topic("Algebra", "Equations")
quadratics = Topic("Algebra", "Quadratic equations")
inequalities = Topic("Algebra", "Inequalities")
TOPICS = (expressions, equations, quadratics, inequalities)


@expressions(r"""
# Expanding brackets: expression, multiplication
Expand $<a>(<b>x <c:+>)$.
[Multiply out|Remove] the brackets: <a>(<b>x <c:+>).
-> Multiply each term by <a>: <ab>x <ac:+>.
Expand and simplify $(x <c:+>)(x <d:+>)$.
[Multiply out|Write without brackets] (x <c:+>)(x <d:+>).
-> Multiply each term by each term: x^2 <c:+x>x <d:+x>x <m:+> = x^2 <s:+x>x <m:+>.
The sides of a rectangle are (x <p:+>) cm and (x <q:+>) cm. Write its area without brackets.
-> Multiply each term by each term: x^2 <p:+x>x <q:+x>x <pm:+> = x^2 <ps:+x>x <pm:+>.
""")
def expanding_brackets(v):
    v.a, v.b, v.c = v.whole(2, 9), v.whole(2, 9), v.nonzero(12)
    v.d = np.sign(v.c) * (abs(v.c) + v.whole(1, 6)) * v.sign()
    v.ab, v.ac, v.s, v.m = v.a * v.b, v.a * v.c, v.c + v.d, v.c * v.d
    v.p, v.q = abs(v.c), abs(v.d)
    v.ps, v.pm = v.p + v.q, v.p * v.q


@expressions(r"""
# Factorising with a common factor: expression, factor
Factorise $<ab>x <ac:+>$.
[Take out the common factor of|Write as a product] <ab>x <ac:+>.
-> The common factor is <a>: <ab>x <ac:+> = <a>(<b>x <c:+>).
Factorise completely $<ab>x^2 <ac:+>x$.
Write <ab>x^2 <ac:+>x as a product of its factors.
-> The common factor is <a>x: <ab>x^2 <ac:+>x = <a>x(<b>x <c:+>).
""")
def common_factor(v):
    v.a, v.b = v.whole(2, 12), v.pick(2, 4, 8)
    v.c = v.sign() * v.pick(3, 5, 7, 9, 11, 13)
    v.ab, v.ac = v.a * v.b, v.a * v.c


@expressions(r"""
# Factorising quadratics: quadratic, expression, factor
Factorise $x^2 <b:+x>x <c:+>$.
Write x^2 <b:+x>x <c:+> as a product of [two brackets|linear factors].
The area of a rectangle is x^2 <b:+x>x <c:+>. Which expressions can its sides have?
-> Two numbers with sum <b> and product <c> are <m> and <n>: (x <m:+>)(x <n:+>).
Factorise completely $x^2 - <k2>$.
-> A difference of two squares: (x - <k>)(x + <k>).
""")
def factorising_quadratics(v):
    _roots(v)
    v.k = v.whole(2, 15)
    v.k2 = v.k**2


def _roots(v):
    """Roots r < 0 or > 0 of x^2 + bx + c with neither b nor c equal to 0."""
    p = v.whole(1, 9)
    v.r, v.t = v.sign() * p, v.sign() * (p + v.whole(1, 6))
    v.m, v.n, v.b, v.c = -v.r, -v.t, -(v.r + v.t), v.r * v.t


@expressions(r"""
# Laws of indices: power, expression
Simplify $x^{<a>} \times x^{<b>}$.
Write $<k>^{<a>} \times <k>^{<b>}$ as a single power of <k>.
-> Add the exponents: <a> + <b> = <s>.
Simplify $\frac{x^{<s>}}{x^{<a>}}$.
Write <k>^<s> divided by <k>^<a> as a single power.
-> Subtract the exponents: <s> - <a> = <b>.
Simplify $(x^{<a>})^{<b>}$.
[Rewrite|Simplify] (<k>^<a>)^<b> as a power with base <k>.
-> Multiply the exponents: <a> x <b> = <m>.
""")
def laws_of_indices(v):
    v.a, v.b, v.k = v.whole(2, 12), v.whole(2, 9), v.pick(2, 3, 5, 7, 10)
    v.s, v.m = v.a + v.b, v.a * v.b


@expressions(r"""
# Simplifying surds: root, expression
Simplify $\sqrt{<n>}$.
Write the square root of <n> in the form $a\sqrt{b}$ [with b as small as possible|with whole
    numbers].
-> <n> = <a>^2 x <b>, so the root is <a> sqrt(<b>).
Simplify $\sqrt{<n>} + <c>\sqrt{<b>}$.
-> sqrt(<n>) = <a> sqrt(<b>), and <a> + <c> = <s>: the result is <s> sqrt(<b>).
Rationalise the denominator of $\frac{<c>}{\sqrt{<b>}}$.
-> Multiply by sqrt(<b>)/sqrt(<b>): <c> sqrt(<b>) / <b>.
The side of a square is sqrt(<n>) cm. [Simplify|Write] its length as a multiple of sqrt(<b>).
-> sqrt(<n>) = sqrt(<a>^2 x <b>) = <a> sqrt(<b>).
""")
def simplifying_surds(v):
    v.a, v.b, v.c = v.whole(2, 12), v.pick(2, 3, 5, 6, 7, 10, 11, 13), v.whole(2, 9)
    v.n, v.s = v.a**2 * v.b, v.a + v.c


@equations(r"""
# Linear equations: linear, equation
Solve $<a>x <b:+> = <c>$.
Solve the equation <a>x <b:+> = <c>.
For which x does <a>x <b:+> equal <c>?
-> <a>x = <c> <b:-> = <ax>, so x = <ax> / <a> = <x>.
I think of a number, multiply it by <a> and add <p>. The result is <d>. [What is the number?|Find
    the number.|Which number is it?]
<A> equal <item> and a bag for <cur><p> cost <cur><d> in all. <Find> the price of one of the <item>.
-> <a>x + <p> = <d>, so <a>x = <d> - <p> = <ax> and x = <x>.
Solve $<e>(x <b:+>) = <f>$.
-> Divide by <e>: x <b:+> = <g>, so x = <x>.
""")
def linear_equations(v):
    v.a, v.b, v.x, v.p = v.whole(2, 9), v.nonzero(20), v.whole(1, 15), v.whole(1, 20)
    v.ax, v.e = v.a * v.x, v.a + 1
    v.c, v.d, v.g = v.ax + v.b, v.ax + v.p, v.x + v.b
    v.f = v.e * v.g


@equations(r"""
# Linear equations with fractions: linear, equation, fraction
Solve $\frac{x}{<a>} <b:+> = <c>$.
Solve the equation x/<a> <b:+> = <c>.
-> x/<a> = <c> <b:-> = <k>, so x = <a> x <k> = <x>.
A number is divided by <a>, and <p> is added to the result. This gives <q>. <Find> the number.
<Name> shares some <item> equally among <a> friends. Each friend already had <p> and now has <q>.
    How many were shared?
-> x/<a> + <p> = <q>, so x/<a> = <k> and x = <x>.
Solve $\frac{<f>x}{<a>} = <g>$.
-> Multiply by <a>, divide by <f>: x = <g> x <a> / <f> = <x>.
""")
def equations_with_fractions(v):
    v.a, v.k, v.b = v.whole(2, 9), v.whole(2, 15), v.nonzero(12)
    v.p, v.f = v.whole(1, 9), v.whole(2, 7)
    v.x, v.c, v.q, v.g = v.a * v.k, v.k + v.b, v.k + v.p, v.f * v.k


@equations(r"""
# Simultaneous equations: linear, equation, system
Solve the system $<a>x + y = <p>$, $x <b:+x>y = <q>$.
[Solve the simultaneous equations|Find x and y with] <a>x + y = <p> and x <b:+x>y = <q>.
Where do the lines <a>x + y = <p> and x <b:+x>y = <q> [cross|meet|intersect]?
-> From the first, y = <p> - <a>x. Put it into the second: x = <x>, and then y = <y>.
<A> <fruit> and one melon cost <cur><p>. One of the <fruit> and <c> melons cost <cur><w>. <Find>
    both prices.
-> With x for the fruit and y for the melon: <a>x + y = <p>, x + <c>y = <w>; x = <x> and y = <y>.
""")
def simultaneous_equations(v):
    v.a, v.c, v.x, v.y = v.whole(2, 7), v.whole(2, 7), v.whole(1, 9), v.whole(2, 12)
    v.b = v.sign() * v.c
    v.p, v.q, v.w = v.a * v.x + v.y, v.x + v.b * v.y, v.x + v.c * v.y


@equations(r"""
# Absolute value equations: equation, absolute value
Solve $|x <b:+>| = <c>$.
Solve the equation |x <b:+>| = <c>.
Which numbers have [the distance|a distance of] <c> from <m> on the number line?
<Give> all x for which the absolute value of x <b:+> is <c>.
-> Either x = <m> + <c> = <hi>, or x = <m> - <c> = <lo>.
""")
def absolute_value_equations(v):
    v.b, v.c = v.nonzero(20), v.whole(1, 25)
    v.m = -v.b
    v.hi, v.lo = v.m + v.c, v.m - v.c


@equations(r"""
# Exponential equations: exponential, equation, power
Solve $<k>^{x <b:+>} = <n>$.
Solve the equation <k>^(x <b:+>) = <n>.
For which x is <k>^(x <b:+>) equal to <n>?
-> <n> = <k>^<e>, so x <b:+> = <e> and x = <x>.
A [colony|culture] of bacteria is multiplied by <k> every hour. After how many hours is it <n> times
    as large?
-> <k>^t = <n> = <k>^<e>, so t = <e> hours.
""")
def exponential_equations(v):
    v.k, v.e, v.b = v.pick(2, 3, 4, 5, 10), v.whole(2, 6), v.nonzero(9)
    v.n, v.x = v.k**v.e, v.e - v.b


@equations(r"""
# Logarithmic equations: logarithm, equation
Solve $\log_{<k>}(x <b:+>) = <e>$.
Solve the equation log_<k>(x <b:+>) = <e>.
For which x is the logarithm of x <b:+> to the base <k> equal to <e>?
-> x <b:+> = <k>^<e> = <n>, so x = <x>.
Solve $\log_{<k>} x + \log_{<k>} <c> = <e>$.
-> log_<k>(<c>x) = <e>, so <c>x = <n> and x = <y>.
""")
def logarithmic_equations(v):
    v.k, v.e, v.b, v.c = v.pick(2, 3, 5, 10), v.whole(2, 4), v.nonzero(12), v.whole(2, 9)
    v.n = v.k**v.e
    v.x, v.y = v.n - v.b, fraction(v.n, v.c)


@equations(r"""
# Changing the subject of a formula: formula, equation
Make x the subject of $y = <a>x <b:+>$.
[Rearrange|Solve] the formula y = <a>x <b:+> for x.
-> y <b:-> = <a>x, so x = (y <b:->) / <a>.
A taxi ride of d km costs C = <p> + <a>d. [Rearrange|Solve] the formula for d.
-> C - <p> = <a>d, so d = (C - <p>) / <a>.
The area of a triangle is $A = \frac{1}{2}bh$. Make $h$ the subject. How large is it for A = <A> and
    b = <l>?
-> Twice the area divided by the other length: 2 x <A> / <l> = <r>.
""")
def changing_the_subject(v):
    v.a, v.b, v.p = v.whole(2, 12), v.nonzero(20), v.whole(2, 9)
    v.l, v.r = v.whole(2, 20), v.whole(2, 20)
    v.A = v.l * v.r / 2


@quadratics(r"""
# Quadratic equations by factorising: quadratic, equation, factor
Solve $x^2 <b:+x>x <c:+> = 0$.
Solve the equation x^2 <b:+x>x <c:+> = 0 by factorising.
<Give> [both solutions|the roots] of x^2 <b:+x>x <c:+> = 0.
-> (x <m:+>)(x <n:+>) = 0, so x = <r> or x = <t>.
A [rectangular|school] garden is <d> m longer than it is wide and has an area of <area> m^2. <Find>
    its width.
-> w(w + <d>) = <area> gives w^2 + <d>w - <area> = 0, so (w - <w>)(w + <l>) = 0 and w = <w> m.
""")
def quadratic_by_factorising(v):
    _roots(v)
    v.w, v.d = v.whole(3, 20), v.whole(1, 15)
    v.l = v.w + v.d
    v.area = v.w * v.l


@quadratics(r"""
# Quadratic formula: quadratic, equation, formula, root
Solve $<a:x>x^2 <p:+x>x <q:+> = 0$.
Solve <a:x>x^2 <p:+x>x <q:+> = 0 with the quadratic formula, to two decimal places.
<Give> [both solutions|the roots] of <a:x>x^2 <p:+x>x <q:+> = 0.
-> x = (<mp> ± sqrt(<disc>)) / <twice>: x = <x> or x = <y> (to two decimals).
""")
def quadratic_formula(v):
    v.a, v.p, v.q = v.whole(1, 4), v.nonzero(12), -v.whole(1, 15)
    v.disc, v.twice, v.mp = v.p**2 - 4 * v.a * v.q, 2 * v.a, -v.p
    v.x = np.round((v.mp + np.sqrt(v.disc)) / v.twice, 2)
    v.y = np.round((v.mp - np.sqrt(v.disc)) / v.twice, 2)


@quadratics(r"""
# Discriminant: quadratic, equation, root
How many real [roots|solutions] does $<a:x>x^2 <b:+x>x <c:+> = 0$ have?
<Find> the discriminant of <a:x>x^2 <b:+x>x <c:+> = 0 and the number of its real roots.
How often does the parabola y = <a:x>x^2 <b:+x>x <c:+> meet the x-axis?
-> b^2 - 4ac = <b2> - 4 x <a> x (<c>) = <d>: <count>.
For which k does $x^2 <e:+>x + k = 0$ have exactly one solution?
-> The discriminant <e2> - 4k must be 0, so k = <k>.
""")
def discriminant(v):
    v.a, v.b, v.c = v.whole(1, 5), v.nonzero(10), v.nonzero(9)
    v.b2 = v.b**2
    v.d = v.b2 - 4 * v.a * v.c
    v.count = np.array(["no real root", "one real root", "two real roots"])[np.sign(v.d) + 1]
    v.k = v.whole(2, 12) ** 2
    v.e2 = 4 * v.k
    v.e = 2 * np.sqrt(v.k).astype(int) * v.sign()


@quadratics(r"""
# Sum and product of roots: quadratic, root, sum
<Find> the sum and the product of the [roots|solutions] of $x^2 <b:+x>x <c:+> = 0$.
Without solving x^2 <b:+x>x <c:+> = 0, <find> the sum and the product of its roots.
-> The sum is the negative of the middle coefficient, <s>; the product is the constant term, <c>.
A quadratic equation $x^2 + px + q = 0$ has the roots <r> and <t>. <Give> p and q.
Write down a quadratic equation whose solutions are <r> and <t>.
-> The roots add up to <s> and have the product <c>: x^2 <b:+x>x <c:+> = 0.
""")
def sum_and_product_of_roots(v):
    _roots(v)
    v.s = v.r + v.t


@inequalities(r"""
# Linear inequalities: linear, inequality
Solve $<a>x <b:+> < <c>$.
Solve the inequality <a>x <b:+> < <c>.
For which x is <a>x <b:+> less than <c>?
-> <a>x < <ax>, so x < <x>.
A taxi costs <cur><p> plus <cur><a> a kilometre. How far can <name> go with at most <cur><d>?
<Name> has <cur><d>, pays <cur><p> for a bag and buys <item> at <cur><a> each. How many [can be
    bought|are possible] at most?
-> <p> + <a>x <= <d>, so x <= <x>.
""")
def linear_inequalities(v):
    v.a, v.b, v.x, v.p = v.whole(2, 9), v.nonzero(20), v.whole(2, 15), v.whole(1, 20)
    v.ax = v.a * v.x
    v.c, v.d = v.ax + v.b, v.ax + v.p


@inequalities(r"""
# Quadratic inequalities: quadratic, inequality
Solve $x^2 <b:+x>x <c:+> < 0$.
Solve the inequality x^2 <b:+x>x <c:+> < 0.
For which x does the parabola y = x^2 <b:+x>x <c:+> lie below the x-axis?
-> (x <m:+>)(x <n:+>) is negative between its zeros: <lo> < x < <hi>.
For which x is $x^2 <b:+x>x <c:+>$ positive?
-> (x <m:+>)(x <n:+>) is positive outside its zeros: x < <lo> or x > <hi>.
""")
def quadratic_inequalities(v):
    _roots(v)
    v.lo, v.hi = np.minimum(v.r, v.t), np.maximum(v.r, v.t)


@inequalities(r"""
# Absolute value inequalities: inequality, absolute value
Solve $|x <b:+>| < <c>$.
Solve the inequality |x <b:+>| < <c>.
Which numbers have [a distance|distances] of less than <c> from <m> on the number line?
<Give> all x for which the absolute value of x <b:+> is less than <c>.
-> -<c> < x <b:+> < <c>, so <lo> < x < <hi>.
""")
def absolute_value_inequalities(v):
    absolute_value_equations(v)


@inequalities(r"""
# Systems of inequalities: linear, inequality, system
Solve the system $<a>x <b:+> < <c>$, $x > <l>$.
<Give> all whole numbers x with <a>x <b:+> < <c> and x > <l>.
Which x satisfy both <a>x <b:+> < <c> and x > <l>?
-> The first gives x < <x>, so <l> < x < <x>.
Solve $<lo> < <a>x <b:+> < <c>$.
-> Subtract the constant and divide by <a>: <l> < x < <x>.
""")
def systems_of_inequalities(v):
    v.a, v.b, v.l = v.whole(2, 9), v.nonzero(20), v.nonzero(8)
    v.x = v.l + v.whole(2, 9)
    v.c, v.lo = v.a * v.x + v.b, v.a * v.l + v.b

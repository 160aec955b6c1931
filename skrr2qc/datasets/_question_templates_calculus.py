"""Knowledge points of the strand "Calculus"; the language is that of ``_question_templates``."""

from ._question_templates import Topic

derivatives = Topic("Calculus", "Derivatives")
integrals = Topic("Calculus", "Integrals")
TOPICS = (derivatives, integrals)


def _cubic(v):
    """The polynomial ax^3 + bx^2 + cx + d and the coefficients of its derivative."""
    v.a, v.b, v.c, v.d = v.whole(1, 6), v.nonzero(9), v.nonzero(12), v.nonzero(20)
    v.a3, v.b2, v.x = 3 * v.a, 2 * v.b, v.nonzero(3)
    v.slope = v.a3 * v.x**2 + v.b2 * v.x + v.c
    v.y = v.a * v.x**3 + v.b * v.x**2 + v.c * v.x + v.d


@derivatives(r"""
# Derivatives of polynomials: derivative, polynomial, power
Differentiate $f(x) = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+>$.
<Find> the derivative of <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+>.
[Let|Given] y = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+>, <find> dy/dx.
-> Term by term: <a3>x^2 <b2:+>x <c:+>.
<Find> $f'(<x>)$ for $f(x) = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+>$.
-> f'(x) = <a3>x^2 <b2:+>x <c:+>, so f'(<x>) = <slope>.
""")
def derivatives_of_polynomials(v):
    _cubic(v)


@derivatives(r"""
# Chain rule: derivative, composition, power
Differentiate $f(x) = (<a>x <b:+>)^{<n>}$.
<Find> the derivative of (<a>x <b:+>)^<n>.
[Let|Given] y = (<a>x <b:+>)^<n>, <find> dy/dx.
-> Outer times inner derivative: <n> x <a> x (<a>x <b:+>)^<m> = <na>(<a>x <b:+>)^<m>.
Differentiate $f(x) = \sin(<a>x <b:+>)$.
-> Outer times inner derivative: <a> cos(<a>x <b:+>).
""")
def chain_rule(v):
    v.a, v.b, v.n = v.whole(2, 9), v.nonzero(12), v.whole(3, 9)
    v.m, v.na = v.n - 1, v.n * v.a


@derivatives(r"""
# Tangent to a curve: derivative, line, gradient
<Give> the tangent to $y = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+>$ at $x = <x>$.
Which straight line touches the curve y = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+> at x = <x>? [Give|State]
    its equation.
-> At x = <x> the curve has y = <y> and the slope <slope>: y = <slope>(x <x:->) <y:+>.
How steep is the graph of f(x) = <a:x>x^3 <b:+x>x^2 <c:+x>x <d:+> at x = <x>?
-> f'(x) = <a3>x^2 <b2:+>x <c:+>, so the slope is <slope>.
""")
def tangent_to_a_curve(v):
    _cubic(v)


@derivatives(r"""
# Maxima and minima: derivative, extremum, graph
<Give> the [turning points|local extrema] of $f(x) = x^3 - <p>x <d:+>$.
Where does the graph of y = x^3 - <p>x <d:+> have its [local maximum and minimum|turning points]?
-> f'(x) = 3x^2 - <p> is 0 at x = -<k> (maximum, y = <top>) and at x = <k> (minimum, y = <low>).
A rectangle has a perimeter of <per> cm. Which [width|side] gives the largest area?
<Name> fences a rectangular garden with <per> m of wire. How large can its area be?
-> A(w) = w(<halfper> - w) has A'(w) = 0 for w = <side>; the area is then <best>.
+ Derivatives of polynomials
Differentiate $f(x) = x^3 - <p>x <d:+>$ and <find> the points at which f is largest or smallest
    nearby.
-> f'(x) = 3x^2 - <p> is 0 at x = -<k> (maximum, y = <top>) and at x = <k> (minimum, y = <low>).
""")
def maxima_and_minima(v):
    v.k, v.d, v.side = v.whole(1, 6), v.nonzero(20), v.whole(3, 40)
    v.p, v.per, v.halfper, v.best = 3 * v.k**2, 4 * v.side, 2 * v.side, v.side**2
    v.top, v.low = v.d + 2 * v.k**3, v.d - 2 * v.k**3


@derivatives(r"""
# Velocity and acceleration: derivative, rate, distance
A <vehicle> has travelled $s(t) = <a>t^2 + <b>t$ metres after t seconds. <Find> its speed at t =
    <t>.
The distance covered after t seconds is s = <a>t^2 + <b>t (in metres). How fast is the <vehicle>
    after <t> seconds?
-> v(t) = s'(t) = <a2>t + <b>, so v(<t>) = <v0> m/s.
The speed of a <vehicle> is v(t) = <a2>t + <b>. What is its acceleration?
-> The derivative of the speed: <a2> m/s^2.
""")
def velocity_and_acceleration(v):
    v.a, v.b, v.t = v.whole(1, 6), v.whole(1, 12), v.whole(1, 12)
    v.a2 = 2 * v.a
    v.v0 = v.a2 * v.t + v.b


def _antiderivative(v):
    """The function px^2 + qx, its antiderivative ax^3 + bx^2 and a value at u."""
    v.a, v.b, v.u = v.whole(1, 5), v.whole(1, 9), v.whole(1, 5)
    v.p, v.q = 3 * v.a, 2 * v.b
    v.r = v.a * v.u**3 + v.b * v.u**2


@integrals(r"""
# Indefinite integrals: integral, polynomial
<Find> $\int (<p>x^2 + <q>x) \, dx$.
Integrate <p>x^2 + <q>x.
<Give> [all functions|every function] with the derivative <p>x^2 + <q>x.
-> Raise the powers by one: <a:x>x^3 <b:+x>x^2 + C.
""")
def indefinite_integrals(v):
    _antiderivative(v)


@integrals(r"""
# Definite integrals: integral, polynomial
<Find> $\int_0^{<u>} (<p>x^2 + <q>x) \, dx$.
Integrate <p>x^2 + <q>x from 0 to <u>.
<Find> the value of the integral of <p>x^2 + <q>x between x = 0 and x = <u>.
-> F(x) = <a:x>x^3 <b:+x>x^2, and F(<u>) - F(0) = <r>.
""")
def definite_integrals(v):
    _antiderivative(v)


@integrals(r"""
# Area under a curve: integral, area, graph
<Find> the area under the curve $y = <p>x^2 + <q>x$ from $x = 0$ to $x = <u>$.
How large is the region between the x-axis and the graph of y = <p>x^2 + <q>x for 0 <= x <= <u>?
The graph of f(x) = <p>x^2 + <q>x, the x-axis and the line x = <u> enclose a region. <Find> its
    area.
-> F(x) = <a:x>x^3 <b:+x>x^2, so the area is F(<u>) - F(0) = <r>.
+ Definite integrals
Set up and evaluate the definite integral for the area under y = <p>x^2 + <q>x from 0 to <u>.
-> The integral of <p>x^2 + <q>x from 0 to <u> is <r>.
""")
def area_under_a_curve(v):
    _antiderivative(v)

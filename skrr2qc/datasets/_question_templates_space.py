"""Knowledge points on solids, vectors and trigonometry; see ``_question_templates``."""

import numpy as np

from ._question_templates import Topic

solids = Topic("Geometry", "Solids")
vectors = Topic("Geometry", "Vectors and transformations")
right_triangles = Topic("Trigonometry", "Right-angled triangles")
any_triangle = Topic("Trigonometry", "Sines and cosines in triangles")
circular = Topic("Trigonometry", "Trigonometric functions")
TOPICS = (solids, vectors, right_triangles, any_triangle, circular)


@solids(r"""
# Volume of a cuboid: volume, cuboid
<Find> the volume of a cuboid with edges of <a> <unit>, <b> <unit> and <c> <unit>.
A [box|tank|crate] is <a> cm long, <b> cm wide and <c> cm high. How much does it hold?
A rectangular pool measures <a> m by <b> m and is filled <c> m deep. How many cubic metres of water
    are in it?
-> Length x width x height: <a> x <b> x <c> = <v0>.
A cuboid has a volume of <v0> cm^3, a length of <a> cm and a width of <b> cm. <Find> its height.
-> <v0> / (<a> x <b>) = <c> cm.
""")
def volume_of_a_cuboid(v):
    v.a, v.b, v.c = v.whole(3, 40), v.whole(2, 25), v.whole(2, 15)
    v.v0, v.s = v.a * v.b * v.c, 2 * (v.a * v.b + v.a * v.c + v.b * v.c)


@solids(r"""
# Surface area of a cuboid: surface, cuboid, area
<Find> the surface area of a cuboid with edges of <a> <unit>, <b> <unit> and <c> <unit>.
A [box|gift|crate] is <a> cm long, <b> cm wide and <c> cm high. How much paper covers it?
A closed wooden box measures <a> cm by <b> cm by <c> cm and is painted outside. How large is the
    painted area?
-> 2 x (<a> x <b> + <a> x <c> + <b> x <c>) = <s>.
+ Volume of a cuboid
A cuboid measures <a> cm by <b> cm by <c> cm. <Find> its volume and its surface area.
-> Volume: <a> x <b> x <c> = <v0> cm^3. Surface: 2 x (<a> x <b> + <a> x <c> + <b> x <c>) = <s> cm^2.
""")
def surface_of_a_cuboid(v):
    volume_of_a_cuboid(v)


@solids(r"""
# Volume of a cylinder: volume, cylinder, circle
<Find> the volume of a cylinder with radius <r> <unit> and height <h> <unit>.
A [can|tank|glass] has the shape of a cylinder with radius <r> cm and height <h> cm. How much does
    it hold?
A round pool with a radius of <r> m is filled <h> m deep. How many cubic metres of water are in it?
-> pi x <r>^2 x <h> = <v0> (to two decimals).
""")
def volume_of_a_cylinder(v):
    v.r, v.h = v.whole(2, 25), v.whole(2, 40)
    v.v0, v.third = np.round(np.pi * v.r**2 * v.h, 2), np.round(np.pi * v.r**2 * v.h / 3, 2)
    v.side = np.round(2 * np.pi * v.r * v.h, 2)
    v.s = np.round(2 * np.pi * v.r * (v.r + v.h), 2)


@solids(r"""
# Surface area of a cylinder: surface, cylinder, area
<Find> the surface area of a cylinder with radius <r> <unit> and height <h> <unit>.
A closed [can|tank|drum] has the shape of a cylinder with radius <r> cm and height <h> cm. How much
    sheet metal covers it?
-> Two circles and the side: 2 x pi x <r> x (<r> + <h>) = <s> (to two decimals).
A label goes once around a can with radius <r> cm and height <h> cm. How large is it?
-> Only the side: 2 x pi x <r> x <h> = <side> cm^2.
""")
def surface_of_a_cylinder(v):
    volume_of_a_cylinder(v)


@solids(r"""
# Volume of a cone: volume, circle, fraction
<Find> the volume of a cone with radius <r> <unit> and height <h> <unit>.
A [paper cup|funnel|party hat] has the shape of a cone with radius <r> cm and height <h> cm. How
    much does it hold?
A heap of sand with a round base of radius <r> m is <h> m high and pointed. How many cubic metres
    are in it?
-> One third of the cylinder: pi x <r>^2 x <h> / 3 = <third> (to two decimals).
""")
def volume_of_a_cone(v):
    volume_of_a_cylinder(v)


def _two_vectors(v):
    v.a, v.b, v.c, v.d = v.nonzero(9), v.nonzero(9), v.nonzero(9), v.nonzero(9)
    v.s, v.t = v.a + v.c, v.b + v.d


@vectors(r"""
# Adding vectors: vector, addition, coordinates
<Find> the sum of the vectors (<a>, <b>) and (<c>, <d>).
Let $\vec{u} = (<a>, <b>)$ and $\vec{v} = (<c>, <d>)$. <Find> $\vec{u} + \vec{v}$.
A boat is moved by (<a>, <b>) and then by (<c>, <d>). By which vector is it moved altogether?
-> Add the coordinates: (<s>, <t>).
<Find> $<k>\vec{u} + \vec{v}$ for u = (<a>, <b>) and v = (<c>, <d>).
-> (<k> x (<a>) + (<c>), <k> x (<b>) + (<d>)) = (<x>, <y>).
""")
def adding_vectors(v):
    _two_vectors(v)
    v.k = v.whole(2, 6)
    v.x, v.y = v.k * v.a + v.c, v.k * v.b + v.d


@vectors(r"""
# Length of a vector: vector, length, root
<Find> the length of the vector (<a>, <b>).
Let $\vec{u} = (<a>, <b>)$. <Find> $|\vec{u}|$.
A boat is moved by (<a>, <b>) on a grid. How far is it from where it was?
How long is the vector (<a>, <b>)?
-> sqrt((<a>)^2 + (<b>)^2) = sqrt(<n>) = <l> (to two decimals where needed).
""")
def length_of_a_vector(v):
    v.a, v.b = v.nonzero(20), v.nonzero(20)
    v.n = v.a**2 + v.b**2
    v.l = np.round(np.sqrt(v.n), 2)


@vectors(r"""
# Scalar product: vector, multiplication, angle
<Find> the scalar product of (<a>, <b>) and (<c>, <d>).
Let $\vec{u} = (<a>, <b>)$ and $\vec{v} = (<c>, <d>)$. <Find> $\vec{u} \cdot \vec{v}$.
Are the vectors (<a>, <b>) and (<c>, <d>) perpendicular?
Do (<a>, <b>) and (<c>, <d>) meet at a right angle?
-> <a> x (<c>) + (<b>) x (<d>) = <p>; the vectors are perpendicular only if this is 0.
""")
def scalar_product(v):
    _two_vectors(v)
    v.p = v.a * v.c + v.b * v.d


@vectors(r"""
# Translations and reflections of points: translation, coordinates, reflection
The point (<a>, <b>) is moved by the vector (<c>, <d>). <Give> its image.
A counter at (<a>, <b>) is shifted by (<c>, <d>). Where is it now?
-> Add the coordinates: (<s>, <t>).
The point $P(<a>, <b>)$ is reflected in the x-axis. <Give> its image.
-> The second coordinate changes its sign: (<a>, <mb>).
""")
def translations_of_points(v):
    _two_vectors(v)
    v.mb = -v.b


@vectors(r"""
# Reflected graphs: reflection, graph, function
The line y = <a:x>x <b:+> is reflected in the x-axis. [Give|State] the equation of its image.
The graph of $y = <a:x>x <b:+>$ is mirrored at the x-axis. Which function belongs to the image?
-> All y change their sign: y = <ma:x>x <mb:+>.
Which equation does the mirror image of y = <a:x>x <b:+> in the y-axis have?
-> x changes its sign: y = <ma:x>x <b:+>.
""")
def reflected_graphs(v):
    v.a, v.b = v.nonzero(9), v.nonzero(20)
    v.ma, v.mb = -v.a, -v.b


def _angle_and_length(v):
    v.a, v.c = v.whole(15, 75), v.whole(4, 80)
    radians = np.deg2rad(v.a)
    v.opposite, v.adjacent = np.round(v.c * np.sin(radians), 2), np.round(v.c * np.cos(radians), 2)
    v.height = np.round(v.c * np.tan(radians), 2)


@right_triangles(r"""
# Sides by trigonometry: trigonometric ratio, right angle, triangle, length
In a right-angled triangle the hypotenuse is <c> cm and one angle is <a>°. <Find> the side opposite
    it.
The longest side of a right-angled triangle is $<c>$ <unit>, an angle is $<a>^\circ$. <Find> the
    side facing this angle.
A ladder of <c> m leans on a wall at <a>° to the ground. How high does it reach?
-> Opposite over hypotenuse is the sine: <c> x sin <a>° = <opposite>.
A right-angled triangle has an angle of <a>° and a hypotenuse of <c> cm. <Find> the side next to the
    angle.
-> Adjacent over hypotenuse is the cosine: <c> x cos <a>° = <adjacent> cm.
""")
def sides_by_trigonometry(v):
    _angle_and_length(v)


@right_triangles(r"""
# Angles by trigonometry: trigonometric ratio, right angle, angle
In a right-angled triangle the side opposite an angle is <p> cm and the side next to it is <q> cm.
    <Find> the angle.
A ramp rises <p> m over a horizontal distance of <q> m. At which angle does it rise?
The legs of a right-angled triangle are $<p>$ and $<q>$. <Find> the angle facing the first.
-> tan x = <p> / <q>, so x = <x>°.
""")
def angles_by_trigonometry(v):
    v.p, v.q = v.whole(2, 30), v.whole(2, 40)
    v.x = np.round(np.rad2deg(np.arctan2(v.p, v.q)), 1)


@right_triangles(r"""
# Angles of elevation: trigonometric ratio, angle, distance
From a point <c> m away, the top of a tower is seen at an angle of elevation of <a>°. How high is
    the tower?
<Name> stands <c> m from a tree and looks up at <a>° to see its top. How high is it above eye level?
A kite is <c> m away along the ground and appears at $<a>^\circ$ above the horizon. <Find> its
    height.
-> Height over distance is the tangent: <c> x tan <a>° = <height> m.
""")
def angles_of_elevation(v):
    _angle_and_length(v)


@any_triangle(r"""
# Law of sines: sine, triangle, ratio
In triangle ABC, a = <c> cm, the angle at A is <a>° and the angle at B is <b>°. <Find> the side b.
A triangle has a side of <c> <unit> opposite an angle of $<a>^\circ$. How long is the side opposite
    the angle of $<b>^\circ$?
Two angles of a triangle are <a>° and <b>°. The side facing the first is <c> cm. <Find> the side
    facing the second.
-> b / sin <b>° = <c> / sin <a>°, so b = <r> (to two decimals).
""")
def law_of_sines(v):
    v.a, v.b, v.c = v.whole(25, 85), v.whole(25, 85), v.whole(4, 60)
    v.r = np.round(v.c * np.sin(np.deg2rad(v.b)) / np.sin(np.deg2rad(v.a)), 2)


def _two_sides_and_angle(v):
    v.p, v.q, v.a = v.whole(4, 40), v.whole(4, 40), v.whole(25, 150)
    angle = np.deg2rad(v.a)
    v.s = np.round(v.p * v.q * np.sin(angle) / 2, 2)
    v.r = np.round(np.sqrt(v.p**2 + v.q**2 - 2 * v.p * v.q * np.cos(angle)), 2)


@any_triangle(r"""
# Law of cosines: cosine, triangle, length
Two sides of a triangle are <p> <unit> and <q> <unit> and make an angle of <a>°. <Find> the third
    side.
In triangle ABC, b = <p> cm, c = <q> cm and $\angle A = <a>^\circ$. <Find> the side a.
Two ships leave <city> with an angle of <a>° between their courses. How far apart are they after <p>
    km and <q> km?
-> a^2 = <p>^2 + <q>^2 - 2 x <p> x <q> x cos <a>°, so a = <r> (to two decimals).
""")
def law_of_cosines(v):
    _two_sides_and_angle(v)


@any_triangle(r"""
# Area of a triangle from two sides and an angle: sine, area, triangle
Two sides of a triangle are <p> <unit> and <q> <unit> and make an angle of <a>°. <Find> its area.
In triangle ABC, b = <p> cm, c = <q> cm and $\angle A = <a>^\circ$. How large is the triangle?
A triangular [field|garden|sail] has two sides of <p> m and <q> m with an angle of <a>° between
    them. How many square metres does it cover?
-> <p> x <q> x sin <a>° / 2 = <s> (to two decimals).
+ Law of cosines
Two sides of a triangle are <p> cm and <q> cm and make an angle of <a>°. <Find> the area and the
    third side.
-> Area: <p> x <q> x sin <a>° / 2 = <s> cm^2. Third side by the law of cosines: <r> cm.
""")
def area_from_two_sides(v):
    _two_sides_and_angle(v)


@circular(r"""
# Exact trigonometric values: sine, cosine, angle
<Find> the exact value of $\sin <a>^\circ$ [without a calculator|as a fraction or a surd].
Write sin <a>° and cos <a>° exactly.
Without a calculator, <find> sin <a>° and cos <a>° in terms of roots.
-> In the unit circle, sin <a>° = <sine> and cos <a>° = <cosine>.
A ray makes an angle of <a>° with the x-axis. <Find> the exact coordinates of the point where it
    meets the circle of radius <r> around the origin.
-> cos <a>° = <cosine> and sin <a>° = <sine>: the point is (<r> x (<cosine>), <r> x (<sine>)).
""")
def exact_values(v):
    table = np.array(
        [
            ("30", "1/2", "sqrt(3)/2"),
            ("45", "sqrt(2)/2", "sqrt(2)/2"),
            ("60", "sqrt(3)/2", "1/2"),
            ("120", "sqrt(3)/2", "-1/2"),
            ("135", "sqrt(2)/2", "-sqrt(2)/2"),
            ("150", "1/2", "-sqrt(3)/2"),
            ("210", "-1/2", "-sqrt(3)/2"),
            ("330", "-1/2", "sqrt(3)/2"),
        ]
    )
    v.a, v.sine, v.cosine = table[v.whole(0, 7)].T
    v.r = v.whole(2, 30)


@circular(r"""
# Trigonometric equations: sine, equation, angle
Solve $<k>\sin x = <k2>$ for $0^\circ \le x < 360^\circ$.
<Give> all angles x between 0° and 360° with <k> sin x = <k2>.
For which x from 0° to 360° does <k> sin x equal <k2>?
-> sin x = <k2> / <k> = 1/2, so x = 30° or x = 150°.
Solve $\sin(x <b:+>^\circ) = 1$ for an angle x [between -180° and 180°|of less than 180°].
-> x <b:+>° = 90°, so x = <x>°.
""")
def trigonometric_equations(v):
    v.k2, v.b = v.whole(1, 60), v.nonzero(60)
    v.k, v.x = 2 * v.k2, 90 - v.b


@circular(r"""
# Degrees and radians: angle, conversion, fraction
[Convert|Change] <a>° to radians.
Write $<a>^\circ$ in radians as a multiple of $\pi$.
A wheel turns through <a> degrees. How many radians is that?
-> <a> / 180 x pi = <f> x pi.
[Convert|Change] $\frac{<n>}{<d>}\pi$ radians to degrees.
-> <n> / <d> x 180 = <e>°.
""")
def degrees_and_radians(v):
    v.a, v.d = v.whole(5, 715, 5), v.pick(2, 3, 4, 5, 6, 9, 10, 12)
    v.n = v.below(2 * v.d)
    v.e, divisor = v.n * 180 // v.d, np.gcd(v.a, 180)
    v.f = [f"{n}/{d}" for n, d in zip(v.a // divisor, 180 // divisor, strict=True)]


@circular(r"""
# Amplitude and period: sine, graph, function
<Find> the amplitude and the period of $y = <a>\sin(<b:x>x)$, with x in degrees.
How [high|far up] does the graph of y = <a> sin(<b:x>x) rise, and after how many degrees does it
    repeat?
-> The amplitude is the factor <a>; the period is 360 / <b> = <p>°.
The graph of y = <a> sin(<b:x>x) <c:+> is drawn for x in degrees. <Find> its largest value and its
    period.
-> The largest value is <a> <c:+> = <top>; the period is 360 / <b> = <p>°.
""")
def amplitude_and_period(v):
    v.a, v.b, v.c = v.whole(2, 15), v.pick(1, 2, 3, 4, 5, 6, 8, 9, 10, 12), v.nonzero(9)
    v.top, v.p = v.a + v.c, 360 // v.b

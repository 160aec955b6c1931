"""Knowledge points of the strand "Geometry", plane figures; see ``_question_templates``."""

import numpy as np

from ._question_templates import Topic, fraction

angles = Topic("Geometry", "Angles")
plane = Topic("Geometry", "Perimeter and area")
triangles = Topic("Geometry", "Triangles")
TOPICS = (angles, plane, triangles)


@angles(r"""
# Angles in a triangle: angle, triangle, sum
Two angles of a triangle are <a>° and <b>°. <Find> the third angle.
In triangle ABC, $\angle A = <a>^\circ$ and $\angle B = <b>^\circ$. <Find> $\angle C$.
A triangular [sail|plot|flag] has corners of <a>° and <b>°. How large is its third corner?
-> The angles add up to 180°: 180 - <a> - <b> = <c>°.
The two equal angles of an isosceles triangle measure <a>° each. <Find> the angle at the top.
-> 180 - 2 x <a> = <top>°.
""")
def angles_in_a_triangle(v):
    v.a, v.b = v.whole(20, 85), v.whole(15, 90)
    v.c, v.top = 180 - v.a - v.b, 180 - 2 * v.a


@angles(r"""
# Angles on a straight line: angle, line, sum
Two angles on a straight line are x and <a>°. <Find> x.
A ladder leans on a straight [beam|fence] and makes an angle of <a>° with it on one side. How large
    is the angle on the other side?
Two straight lines cross. One of the angles is $<a>^\circ$. <Find> the angle next to it.
-> Together they make 180°: 180 - <a> = <r>°.
Three angles on a straight line are <b>°, <c>° and x. <Find> x.
-> 180 - <b> - <c> = <s>°.
""")
def angles_on_a_line(v):
    v.a, v.b, v.c = v.whole(15, 165), v.whole(15, 85), v.whole(15, 85)
    v.r, v.s = 180 - v.a, 180 - v.b - v.c


@angles(r"""
# Angles and parallel lines: angle, line, parallel
A line crosses two parallel lines. One of the angles is <a>°. <Find> the corresponding angle at the
    other parallel.
Two parallel [railway tracks|roads|beams] are cut by a straight road. The road makes an angle of
    <a>° with the first. Which angle does it make with the second?
The lines g and h are parallel, and a third line meets g at $<a>^\circ$. <Find> the alternate angle
    at h.
-> Corresponding and alternate angles at parallels are equal: <a>°.
Two lines are parallel. A third line makes an angle of <a>° with the first. <Find> the co-interior
    angle at the second.
-> Co-interior angles add up to 180°: 180 - <a> = <r>°.
""")
def angles_and_parallels(v):
    v.a = v.whole(15, 165)
    v.r = 180 - v.a


@angles(r"""
# Interior angles of a polygon: angle, polygon, sum
<Find> the sum of the interior angles of a polygon with <n> sides.
What do the angles of a figure with <n> corners add up to?
-> (<n> - 2) x 180 = <s>°.
How large is each interior angle of a regular polygon with <n> sides?
A tile has the shape of a regular <n>-gon. <Find> the angle at each corner.
-> The sum is (<n> - 2) x 180 = <s>°, so each angle is <s> / <n> = <e>°.
""")
def interior_angles(v):
    v.n = v.whole(5, 40)
    v.s = (v.n - 2) * 180
    v.e = np.round(v.s / v.n, 2)


@angles(r"""
# Angles in a circle: angle, circle
An arc of a circle is seen from the centre at an angle of <c>°. At which angle is it seen from a
    point of the circle?
The points A, B and P lie on a circle with centre O, and $\angle AOB = <c>^\circ$. <Find> $\angle
    APB$.
-> The inscribed angle is half the central angle: <c> / 2 = <a>°.
The inscribed angle over a chord is <a>°. <Find> the angle at the centre of the circle.
-> The central angle is twice the inscribed angle: 2 x <a> = <c>°.
AB is a diameter of a circle and P lies on it. The angle at A is <b>°. <Find> the angle at B.
-> The angle at P is 90° (Thales), so the angle at B is 90 - <b> = <r>°.
""")
def angles_in_a_circle(v):
    v.a, v.b = v.whole(15, 85), v.whole(10, 80)
    v.c, v.r = 2 * v.a, 90 - v.b


@plane(r"""
# Perimeter of a rectangle: perimeter, rectangle, length
<Find> the perimeter of a rectangle with sides of <a> <unit> and <b> <unit>.
A rectangular [field|garden|playground] is <a> m long and <b> m wide. How much fencing goes around
    it?
<Name> frames a picture of <a> cm by <b> cm. How long is the frame along its edge?
-> 2 x (<a> + <b>) = <p>.
The perimeter of a rectangle is <p> cm and one side is <a> cm. How long is the other side?
-> Half of <p> is <s>, and <s> - <a> = <b> cm.
""")
def perimeter_of_a_rectangle(v):
    v.a, v.b = v.whole(4, 90), v.whole(3, 60)
    v.s, v.p = v.a + v.b, 2 * (v.a + v.b)


@plane(r"""
# Perimeter of a triangle: perimeter, triangle, length
<Find> the perimeter of a triangle with sides of <a> <unit>, <b> <unit> and <c> <unit>.
A triangular [field|garden|sail] has sides of <a> m, <b> m and <c> m. How much [fencing|rope] goes
    around it?
-> Add the three sides: <a> + <b> + <c> = <p>.
An isosceles triangle has two sides of <a> cm and a base of <b> cm. How long is its boundary?
-> 2 x <a> + <b> = <q> cm.
+ Pythagoras' theorem
The two shorter sides of a right-angled triangle are <x> cm and <y> cm. <Find> its perimeter.
-> The longest side is sqrt(<x>^2 + <y>^2) = <z> cm, so the perimeter is <x> + <y> + <z> = <s> cm.
""")
def perimeter_of_a_triangle(v):
    v.a, v.b = v.whole(8, 60), v.whole(5, 15)
    v.c = v.a + v.whole(-3, 3)
    v.p, v.q = v.a + v.b + v.c, 2 * v.a + v.b
    _right_triangle(v)
    v.s = v.x + v.y + v.z


def _right_triangle(v):
    """Whole sides x, y and the hypotenuse z of a right-angled triangle."""
    sides = np.array([(3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (4, 3, 5), (20, 21, 29)])
    v.x, v.y, v.z = (sides[v.whole(0, 5)] * v.whole(1, 9)[:, None]).T


@plane(r"""
# Perimeter of a regular polygon: perimeter, polygon, length
<Find> the perimeter of a regular [polygon|figure] with <n> sides of <a> <unit>.
A regular <n>-gon has sides of <a> cm. How long is its boundary?
A [pond|tower|stage] has the shape of a regular polygon with <n> sides of <a> m. How much fencing
    goes around it?
-> All sides are equal: <n> x <a> = <p>.
A piece of wire of <p> cm is bent into a regular polygon with <n> sides. How long is each side?
-> <p> / <n> = <a> cm.
""")
def perimeter_of_a_polygon(v):
    v.n, v.a = v.whole(5, 12), v.whole(2, 60)
    v.p = v.n * v.a


@plane(r"""
# Area of a rectangle: area, rectangle
<Find> the area of a rectangle with sides of <a> <unit> and <b> <unit>.
A rectangular [field|garden|playground] is <a> m long and <b> m wide. How many square metres of
    [turf|netting|paving] cover it?
The floor of a [hall|kitchen|classroom] measures <a> m by <b> m. How large is it?
-> Length times width: <a> x <b> = <s>.
The area of a rectangle is <s> cm^2 and one side is <a> cm. How long is the other side?
-> <s> / <a> = <b> cm.
+ Perimeter of a rectangle
A rectangle is <a> cm long and <b> cm wide. <Find> its perimeter and its area.
-> Perimeter: 2 x (<a> + <b>) = <p> cm. Area: <a> x <b> = <s> cm^2.
""")
def area_of_a_rectangle(v):
    v.a, v.b = v.whole(4, 60), v.whole(3, 40)
    v.s, v.p = v.a * v.b, 2 * (v.a + v.b)


@plane(r"""
# Area of a triangle: area, triangle
<Find> the area of a triangle with base <b> <unit> and height <h> <unit>.
A triangular [field|garden|playground] has a base of <b> m and a height of <h> m. How many square
    metres of [turf|netting|paving] cover it?
The base of a triangle measures $<b>$ cm, and the perpendicular height is $<h>$ cm. How large is it?
-> Half of base times height: <b> x <h> / 2 = <s>.
The area of a triangle is <s> cm^2 and its base is <b> cm. <Find> its height.
-> Twice the area over the base: 2 x <s> / <b> = <h> cm.
+ Pythagoras' theorem
The longest side of a right-angled triangle is <z> cm and another side is <x> cm. <Find> its area.
-> The third side is sqrt(<z>^2 - <x>^2) = <y> cm, so the area is <x> x <y> / 2 = <r> cm^2.
""")
def area_of_a_triangle(v):
    v.b, v.h = v.whole(4, 60), v.whole(3, 40)
    v.s = v.b * v.h / 2
    _right_triangle(v)
    v.r = v.x * v.y / 2


@plane(r"""
# Area of a trapezium: area, parallel
<Find> the area of a trapezium with parallel sides of <a> <unit> and <b> <unit> and height <h>
    <unit>.
The parallel sides of a [field|roof|window] in the shape of a trapezium are <a> m and <b> m, at a
    distance of <h> m. How large is it?
The parallel sides of a figure are $<a>$ cm and $<b>$ cm, <h> cm apart. How much paint in square
    centimetres covers it?
-> The mean of the parallel sides times the height: (<a> + <b>) / 2 x <h> = <s>.
""")
def area_of_a_trapezium(v):
    v.a, v.b, v.h = v.whole(4, 40), v.whole(3, 30), v.whole(2, 20)
    v.s = (v.a + v.b) * v.h / 2


@plane(r"""
# Circumference of a circle: circle, perimeter, length
<Find> the circumference of a circle with radius <r> <unit>.
A circular [pond|field|garden] has a radius of <r> m. How much fencing goes around it?
The radius of a wheel is <r> cm. How far does it roll in one turn?
-> 2 x pi x <r> = <c> (to two decimals).
A circle has a diameter of <d> cm. How long is its boundary, in terms of $\pi$?
-> pi times the diameter: <d> pi cm.
""")
def circumference(v):
    v.r = v.whole(2, 60)
    v.c, v.d = np.round(2 * np.pi * v.r, 2), 2 * v.r


@plane(r"""
# Area of a circle: area, circle
<Find> the area of a circle with radius <r> <unit>.
A circular [field|garden|playground] has a radius of <r> m. How many square metres of
    [turf|netting|paving] cover it?
The radius of a [plate|coin|pizza] is <r> cm. How large is its surface?
-> pi x <r>^2 = <s> (to two decimals).
A circle has a diameter of <d> cm. How large is it, in terms of $\pi$?
-> The radius is <r> cm, so the area is <r2> pi cm^2.
+ Circumference of a circle
A circle has the radius <r> cm. <Find> both its circumference and its area.
-> Circumference: 2 x pi x <r> = <c> cm. Area: pi x <r>^2 = <s> cm^2.
""")
def area_of_a_circle(v):
    circumference(v)
    v.s, v.r2 = np.round(np.pi * v.r**2, 2), v.r**2


@plane(r"""
# Arc length: circle, sector, length, angle
<Find> the length of the arc of a sector with radius <r> cm and angle <a>°.
A sector of a circle with radius <r> <unit> has an angle of $<a>^\circ$. How long is its curved
    edge?
The hand of a clock is <r> cm long and turns through <a>°. How far does its tip move?
-> <a>/360 of the circumference: <a> / 360 x 2 x pi x <r> = <s> (to two decimals).
""")
def arc_length(v):
    v.r, v.a = v.whole(2, 40), v.whole(20, 330, 10)
    v.s = np.round(v.a * np.pi * v.r / 180, 2)


@plane(r"""
# Area of a sector: circle, sector, area, angle
<Find> the area of a sector with radius <r> cm and angle <a>°.
A sector of a circle with radius <r> <unit> has an angle of $<a>^\circ$. How large is it?
A slice of a round [cake|pizza|cheese] with radius <r> cm has an angle of <a>°. How large is its
    top?
A lawn sprinkler reaches <r> m and turns through <a>°. How many square metres does it water?
-> <a>/360 of the circle: <a> / 360 x pi x <r>^2 = <s> (to two decimals).
+ Arc length
A sector has the radius <r> cm and the angle <a>°. <Find> the length of its arc and its area.
-> Arc: <a> / 360 x 2 x pi x <r> = <t> cm. Area: <a> / 360 x pi x <r>^2 = <s> cm^2.
""")
def area_of_a_sector(v):
    v.r, v.a = v.whole(2, 40), v.whole(20, 330, 10)
    v.s = np.round(v.a * np.pi * v.r**2 / 360, 2)
    v.t = np.round(v.a * np.pi * v.r / 180, 2)


@triangles(r"""
# Pythagoras' theorem: triangle, right angle, length
The two shorter sides of a right-angled triangle are <x> <unit> and <y> <unit>. <Find> the longest
    side.
A right-angled triangle has legs of $<x>$ cm and $<y>$ cm. How long is its hypotenuse?
A rectangular [field|garden] is <x> m long and <y> m wide. How long is the path straight across from
    corner to corner?
-> sqrt(<x>^2 + <y>^2) = <z>.
A ladder of <z> m leans on a wall. Its foot is <x> m from the wall. How high does it reach?
The longest side of a right-angled triangle is <z> cm and another side is <x> cm. <Find> the missing
    side.
-> sqrt(<z>^2 - <x>^2) = <y>.
""")
def pythagoras(v):
    _right_triangle(v)


@triangles(r"""
# Similar triangles: triangle, ratio, similarity, length
A triangle has sides of <a> cm, <b> cm and <c> cm. In a similar triangle the first of these sides is
    <ka> cm long. <Find> the [missing|other] sides.
-> The factor is <ka> / <a> = <k>, so the others are <b> x <k> = <kb> cm and <c> x <k> = <kc> cm.
A tree casts a shadow of <ka> m. At the same time a stick of <b> m casts a shadow of <a> m. How high
    is the tree?
Triangles ABC and DEF are similar, AB = <a> cm, AC = <b> cm and DE = <ka> cm. <Find> the side DF.
-> The factor is <ka> / <a> = <k>, so the answer is <b> x <k> = <kb>.
""")
def similar_triangles(v):
    v.a, v.k = v.whole(3, 12), v.whole(2, 8)
    v.b, v.c = v.a + v.whole(1, 2), v.a + 3
    v.ka, v.kb, v.kc = v.k * v.a, v.k * v.b, v.k * v.c


@triangles(r"""
# Areas of similar figures: similarity, area, ratio
Two similar triangles have sides in the ratio 1 : <k>. The smaller one has an area of <s> cm^2.
    <Find> the area of the larger one.
A photo is enlarged so that every length becomes <k> times as long. How many times as large is its
    area then, and how large is it if it was <s> cm^2?
Two similar [flags|fields|figures] have lengths in the ratio $1 : <k>$. The small one needs <s> g of
    paint. How much does the large one need?
-> Areas grow with the square of the factor: <k>^2 x <s> = <k2> x <s> = <r>.
The areas of two similar figures are <s> cm^2 and <r> cm^2. <Find> the ratio of their sides.
-> <s> : <r> = 1 : <k2>, so the sides are in the ratio 1 : <k>.
""")
def areas_of_similar_figures(v):
    v.k, v.s = v.whole(2, 9), v.whole(3, 90)
    v.k2 = v.k**2
    v.r = v.k2 * v.s


@triangles(r"""
# Median and centroid of a triangle: triangle, median, coordinates
<Give> the centroid of the triangle with the corners (<x1>, <y1>), (<x2>, <y2>) and (<x3>, <y3>).
Where do the medians of the triangle A(<x1>, <y1>), B(<x2>, <y2>), C(<x3>, <y3>) meet?
A triangular plate has its corners at (<x1>, <y1>), (<x2>, <y2>) and (<x3>, <y3>). Where does it
    balance on a pin?
-> Take the mean of the coordinates: ((<x1>) + (<x2>) + (<x3>)) / 3 = <x>, and likewise <y>.
A median of a triangle is <m> cm long. How far is the centroid from the corner where it starts?
-> The centroid divides it 2 : 1 from the corner: <far> cm.
""")
def centroid(v):
    v.x1, v.x2, v.x3 = v.sample(3, -9, 12).T
    v.y1, v.y2, v.y3 = v.sample(3, -9, 12).T
    three = v.whole(3, 3)
    v.x, v.y = fraction(v.x1 + v.x2 + v.x3, three), fraction(v.y1 + v.y2 + v.y3, three)
    v.m = v.whole(6, 60, 3)
    v.far = 2 * v.m // 3

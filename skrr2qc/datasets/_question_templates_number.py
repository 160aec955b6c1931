"""Knowledge points of the strand "Number"; the language is that of ``_question_templates``."""

import numpy as np

from ._question_templates import Topic, fraction

calculation = Topic("Number", "Calculation")
fractions = Topic("Number", "Fractions")
percentages = Topic("Number", "Percentages")
proportion = Topic("Number", "Ratio and proportion")
TOPICS = (calculation, fractions, percentages, proportion)


@calculation(r"""
# Order of operations: integer, addition, multiplication
<Find> the value of $<a> + <b> \times <c>$.
<Name> types <a> + <b> x <c> into a scientific calculator. Which [number|result] does it show?
Without a calculator, [evaluate|work out] <a> + <b> x <c>.
-> Multiply first: <b> x <c> = <p>. Then add: <a> + <p> = <r>.
<Find> $(<a> + <b>) \times <c> - <d>$.
<Name> adds <b> to <a>, multiplies the [sum|result] by <c> and takes away <d>. Write this as [one
    calculation with brackets|a single expression] and <find> its value.
-> Brackets first: <a> + <b> = <s>. Then <s> x <c> = <m>, and <m> - <d> = <t>.
""")
def order_of_operations(v):
    v.a, v.b, v.c, v.d = v.whole(2, 30), v.whole(2, 15), v.whole(2, 12), v.whole(1, 20)
    v.p, v.s = v.b * v.c, v.a + v.b
    v.r, v.m = v.a + v.p, v.s * v.c
    v.t = v.m - v.d


@calculation(r"""
# Negative numbers: integer, addition
<Find> $<a> - <b>$.
The temperature in <city> is <a> °C at noon and [falls|drops] by <b> degrees until midnight. How
    [cold|warm] is it at midnight?
<Name> has <cur><a> in a bank account and pays a bill of <cur><b>. What is the balance now?
-> <a> - <b> = <r>, below zero because <b> is greater than <a>.
<Find> the value of $-<c> - (-<d>)$.
A [diver|submarine] is <c> m below sea level and rises by <d> m. [Give|State] the new position
    relative to sea level.
-> Start at -<c> and go up by <d>: -<c> + <d> = <s>.
""")
def negative_numbers(v):
    v.a, v.d = v.whole(1, 25), v.whole(1, 19)
    v.b, v.c = v.a + v.whole(1, 30), v.d + v.whole(1, 50)
    v.r, v.s = v.a - v.b, v.d - v.c


@calculation(r"""
# Rounding and estimation: decimal, approximation
Round <x> to two decimal places.
[Write|Give] <x> correct to 2 decimal places.
A [kitchen scale|laboratory balance] shows <x> kg. [State|Give] this mass to the nearest hundredth
    of a kilogram.
-> The third decimal decides: <x> is closest to <r>.
Estimate $<p> \times <q>$ by rounding each [number|factor] to one significant figure.
A box of <item> costs <cur><p> and a school orders <q> boxes. [Estimate|Find roughly] the total
    cost.
-> <p> is about <pp> and <q> is about <qq>, so the result is about <pp> x <qq> = <e>.
""")
def rounding(v):
    hundredths = 10 * v.whole(10, 990) + v.whole(1, 9)
    v.x, v.r = (10 * hundredths + v.nonzero(4)) / 1000, hundredths / 100
    v.pp, v.qq = 10 * v.whole(2, 9), 100 * v.whole(2, 9)
    v.p, v.q, v.e = v.pp + v.nonzero(4), v.qq + v.nonzero(49), v.pp * v.qq


@calculation(r"""
# Upper and lower bounds: approximation, inequality
The length of a [rod|ribbon|table] is <n> cm, correct to the nearest centimetre. [State|Write down]
    the smallest and largest possible length.
<Name> finds that a parcel weighs <n> g to the nearest gram. Between which limits does the true mass
    lie?
A number x is <n> when rounded to the nearest whole number. Write the error interval for x.
-> Half a unit either way: <lo> <= x < <hi>.
The sides of a rectangle are <n> cm and <m> cm, each rounded to the nearest centimetre. <Find> the
    upper bound of its perimeter.
-> Upper bounds of the sides: <hi> and <top>. Perimeter: 2 x (<hi> + <top>) = <p> cm.
""")
def bounds(v):
    v.n, v.m = v.whole(12, 400), v.whole(5, 90)
    v.lo, v.hi, v.top = v.n - 0.5, v.n + 0.5, v.m + 0.5
    v.p = 2 * (v.hi + v.top)


@calculation(r"""
# Standard form: decimal, power
Write <big> in standard form.
Express <big> [in scientific notation|in the form $a \times 10^n$ with $1 \le a < 10$].
A [comet|space probe|planet] is <big> km from the Sun. Write this distance with a power of ten.
-> The decimal point moves <e> places: <big> = <a> x 10^<e>.
Write $<a> \times 10^{<e>}$ as an ordinary number.
A laboratory counts $<a> \times 10^{<e>}$ bacteria. How many is that, written out in full?
-> The decimal point moves <e> places to the right: <big>.
""")
def standard_form(v):
    digits = 10 * v.whole(10, 99) + v.whole(1, 9)
    v.a, v.e = digits / 100, v.whole(4, 9)
    v.big = [f"{x:,}" for x in (digits * 10 ** (v.e - 2)).tolist()]


@fractions(r"""
# Adding and subtracting fractions: fraction, addition
<Find> $\frac{<a>}{<b>} + \frac{<c>}{<d>}$.
<Find> the sum of <a>/<b> and <c>/<d> in its lowest terms.
<Name> walks <a>/<b> of a mile to the library and then <c>/<d> of a mile to the station. How far is
    it altogether?
A recipe needs <a>/<b> of a cup of milk and <c>/<d> of a cup of cream. How much liquid is that?
-> Over the common denominator: (<a> x <d> + <c> x <b>) / (<b> x <d>) = <n>/<m>; simplified: <r>.
<Find> $\frac{<a>}{<b>} - \frac{<c>}{<d>}$.
-> Over the common denominator: (<a> x <d> - <c> x <b>) / (<b> x <d>) = <k>/<m>; simplified: <s>.
""")
def adding_fractions(v):
    v.b, v.d = v.whole(3, 12), v.whole(2, 11)
    v.a, v.c = v.below(v.b), v.below(v.d)
    v.n, v.k, v.m = v.a * v.d + v.c * v.b, v.a * v.d - v.c * v.b, v.b * v.d
    v.r, v.s = fraction(v.n, v.m), fraction(v.k, v.m)


@fractions(r"""
# Multiplying and dividing fractions: fraction, multiplication
<Find> $\frac{<a>}{<b>} \times \frac{<c>}{<d>}$.
<Find> the product of <a>/<b> and <c>/<d> in its lowest terms.
<Name> has <a>/<b> of a cake and eats <c>/<d> of it. What fraction of the whole cake is eaten?
A garden covers <a>/<b> of a hectare, and <c>/<d> of it is lawn. What part of a hectare is lawn?
-> Multiply numerators and denominators: (<a> x <c>) / (<b> x <d>) = <n>/<m>; simplified: <r>.
<Find> $\frac{<a>}{<b>} \div \frac{<c>}{<d>}$.
-> Multiply by the reciprocal: <a>/<b> x <d>/<c> = <s>.
""")
def multiplying_fractions(v):
    v.b, v.d = v.whole(3, 12), v.whole(2, 11)
    v.a, v.c = v.below(v.b), v.below(v.d)
    v.n, v.m = v.a * v.c, v.b * v.d
    v.r, v.s = fraction(v.n, v.m), fraction(v.a * v.d, v.b * v.c)


@fractions(r"""
# Fraction of a quantity: fraction, quantity
<Find> $\frac{<a>}{<b>}$ of <n>.
There are <n> <item> in a box and <a>/<b> of them are <colour>. How many <colour> <item> are there?
<Name> has <n> <item> and gives <a>/<b> of them to <friend>. How many does <friend> get?
A [school|club|factory] has <n> people, of whom <a>/<b> come by bicycle. <Find> their number.
-> One part is <n> / <b> = <k>, and <a> times that is <a> x <k> = <r>.
+ Adding and subtracting fractions
<Name> spends $\frac{<a>}{<b2>}$ of <cur><n2> on food and $\frac{1}{<b2>}$ of it on books. How much
    money is left?
-> Spent: <a>/<b2> + 1/<b2> = <a1>/<b2>. Left: (<b2> - <a1>) x <n2> / <b2> = <left>.
""")
def fraction_of_quantity(v):
    v.b, v.k = v.whole(3, 12), v.whole(4, 40)
    v.a = v.below(v.b)
    v.n, v.r = v.b * v.k, v.a * v.k
    v.a1, v.b2 = v.a + 1, v.b + 2
    v.n2, v.left = v.b2 * v.k, (v.b2 - v.a1) * v.k


@fractions(r"""
# Fractions and decimals: fraction, decimal, conversion
Write $\frac{<n>}{<d>}$ as a decimal.
[Convert|Change] <n>/<d> to a decimal.
<Name> answers <n> of <d> questions correctly. [Write|Express] this fraction as a decimal number.
-> <n> / <d> = <x>.
Write <x> as a fraction in its lowest terms.
[Convert|Change] the decimal <x> to a fraction.
-> <x> = <n>/<d>; in lowest terms <f>.
""")
def fractions_and_decimals(v):
    v.d = v.pick(4, 5, 8, 16, 20, 25, 40, 50, 80, 125)
    v.n = v.below(v.d)
    v.x, v.f = v.n / v.d, fraction(v.n, v.d)


@percentages(r"""
# Percentage of a quantity: percentage, quantity
<Find> <p>% of <n>.
What is $<p>\%$ of <cur><n>?
There are <n> <item> in a shop and <p>% of them are sold. How many <item> are sold?
In a [village|school|company] of <n> people, <p>% [play <sport>|like <hobby>]. How many people is
    that?
-> <p>% of <n> is <p> / 100 x <n> = <r>.
""")
def percentage_of_quantity(v):
    v.p, v.n = v.whole(5, 95, 5), v.whole(40, 1200, 20)
    v.r = v.p * v.n // 100


@percentages(r"""
# Percentage increase and decrease: percentage, change
The price of a <thing> is <cur><n>. In a sale it is [reduced|cut] by <p>%. <Find> the sale price.
A <thing> costs <cur><n>. How much does it cost after a discount of <p>%?
Decrease <n> by <p>%.
-> A decrease of <p>% leaves <q>%: <q> / 100 x <n> = <low>.
The rent of a flat is <cur><n> a month and rises by <p>%. What is the new rent?
<Name> earned <cur><n> a week and gets a pay rise of $<p>\%$. <Find> the new pay.
-> An increase of <p>% gives <s>%: <s> / 100 x <n> = <high>.
The price of a <thing> rises from <cur><n> to <cur><high>. By what percentage has it changed?
-> The change is <d>, and <d> / <n> = <p>%.
""")
def percentage_change(v):
    v.p, v.n = v.whole(5, 60, 5), v.whole(60, 1200, 20)
    v.q, v.s, v.d = 100 - v.p, 100 + v.p, v.p * v.n // 100
    v.low, v.high = v.n - v.d, v.n + v.d


@percentages(r"""
# Reverse percentages: percentage, change
In a sale the price of a <thing> is reduced by <p>% to <cur><low>. What was the price before the
    sale?
After a discount of <p>% a <thing> costs <cur><low>. <Find> the original price.
-> <q>% of the old price is <low>, so the old price is <low> / <q> x 100 = <n>.
After a rise of $<p>\%$ the rent of a flat is <cur><high>. How high was it before?
<Name> earns <cur><high> a week after a pay rise of <p>%. <Find> the pay before the rise.
A number is increased by <p>% and becomes <high>. What was the number?
-> <s>% of the old value is <high>, so the old value is <high> / <s> x 100 = <n>.
""")
def reverse_percentages(v):
    percentage_change(v)


@percentages(r"""
# Simple interest: percentage, interest
<Name> invests <cur><m> at <p>% simple interest a year. <Find> the interest after <t> years.
<Name> puts <cur><m> into a savings account that pays <p>% a year. The interest is paid out every
    year. How much interest is paid in <t> years?
A loan of <cur><m> is charged <p>% simple interest a year. How much must be paid back after <t>
    years?
<Find> how much an investment of <cur><m> earns in <t> years at a rate of $<p>\%$ a year.
-> Each year brings <m> x <p> / 100 = <i>, and <t> years bring <t> x <i> = <r>; in all <total>.
""")
def simple_interest(v):
    v.m, v.p, v.t = v.whole(200, 6000, 100), v.whole(2, 9), v.whole(2, 8)
    v.i = v.m * v.p // 100
    v.r, v.total = v.t * v.i, v.m + v.t * v.i


@percentages(r"""
# Compound interest: percentage, interest, power
<Name> invests <cur><m> at <p>% compound interest a year. <Find> the value after <t> years.
<Name> puts <cur><m> into a savings account that pays <p>% a year. The interest stays in the
    account. How much is in the account after <t> years?
<Find> how much an investment of <cur><m> earns in <t> years at a rate of $<p>\%$ a year.
A loan of <cur><m> grows by <p>% every year. How large is the debt after <t> years?
-> Multiply by <f> each year: <m> x <f>^<t> = <r>, a gain of <g> (to two decimals).
""")
def compound_interest(v):
    v.m, v.p, v.t = v.whole(200, 6000, 100), v.whole(2, 9), v.whole(2, 4)
    v.f = 1 + v.p / 100
    v.r = np.round(v.m * v.f**v.t, 2)
    v.g = np.round(v.r - v.m, 2)


@percentages(r"""
# Fractions as percentages: fraction, percentage, conversion
Write $\frac{<n>}{<d>}$ as a percentage.
[Convert|Change] <n>/<d> to a percentage.
<Name> answers <n> of <d> questions correctly. What percentage is that?
Of <d> <item>, <n> are broken. [Express|Write] this as a percentage.
-> <n> / <d> x 100 = <p>%.
Write $<p>\%$ as a fraction in its lowest terms.
-> <p> / 100 = <f>.
""")
def fractions_as_percentages(v):
    v.d = v.pick(4, 5, 10, 20, 25, 50, 40, 80)
    v.n = v.below(v.d)
    v.p, v.f = 100 * v.n / v.d, fraction(v.n, v.d)


@proportion(r"""
# Sharing in a ratio: ratio, quantity
Share <cur><n> in the ratio <a> : <b>.
<Name> and <friend> share <n> <item> in the ratio $<a> : <b>$. How many does <name> get?
A drink is mixed from juice and water in the ratio <a> : <b>. How much juice is in <n> ml of the
    drink?
The ratio of <colour> to <shade> <item> in a box is <a> : <b>. There are <n> in all. <Find> the
    number of each.
-> One of the <s> parts is <n> / <s> = <k>. The shares are <a> x <k> = <x> and <b> x <k> = <y>.
""")
def sharing_in_a_ratio(v):
    v.a, v.b, v.k = v.whole(1, 9), v.whole(2, 9), v.whole(3, 60)
    v.s = v.a + v.b
    v.n, v.x, v.y = v.s * v.k, v.a * v.k, v.b * v.k


@proportion(r"""
# Direct proportion: proportion, ratio
<A> <item> cost <cur><p>. How much do <b> <item> cost?
A recipe for <a> people needs <p> g of flour. How much flour is needed for <b> people?
A machine makes <p> parts in <a> hours. How many parts does it make in <b> hours?
$y$ is directly proportional to $x$, and $y = <p>$ when $x = <a>$. <Find> $y$ when $x = <b>$.
-> One unit corresponds to <p> / <a> = <k>, so the answer is <b> x <k> = <r>.
""")
def direct_proportion(v):
    v.a, v.b, v.k = v.whole(2, 12), v.whole(13, 40), v.whole(2, 40)
    v.p, v.r = v.a * v.k, v.b * v.k


@proportion(r"""
# Inverse proportion: proportion, rate
<A> workers need <p> days to finish a [road|wall|bridge]. How long do <b> workers need?
A tank is filled by <a> equal pumps in <p> hours. How many hours does it take with <b> pumps?
The hay lasts <a> horses for <p> days. For how long does it last <b> horses?
$y$ is inversely proportional to $x$, and $y = <p>$ when $x = <a>$. <Find> $y$ when $x = <b>$.
-> The product stays the same: <a> x <p> = <n>, so the answer is <n> / <b> = <r>.
""")
def inverse_proportion(v):
    v.a, v.b, v.k = v.whole(2, 9), v.whole(10, 18), v.whole(1, 6)
    v.p, v.n, v.r = v.b * v.k, v.a * v.b * v.k, v.a * v.k


@proportion(r"""
# Map scales: ratio, length, conversion
A map has a scale of 1 : <s>. Two towns are <a> cm apart on the map. How many kilometres apart are
    they?
On a map with the scale $1 : <s>$ a [river|path|road] is <a> cm long. <Find> its real length in km.
-> <a> cm x <s> = <cm> cm = <km> km.
The distance from <name>'s house to the lake is <km> km. How long is it on a map with the scale 1 :
    <s>?
-> <km> km = <cm> cm, and <cm> / <s> = <a> cm.
""")
def map_scales(v):
    v.s, v.a = v.pick(10000, 20000, 25000, 50000, 100000, 200000), v.whole(2, 40)
    v.cm = v.s * v.a
    v.km = v.cm / 100000


@proportion(r"""
# Speed, distance and time: rate, distance
A <vehicle> travels <d> km in <t> hours. <Find> its average speed.
How fast does a <vehicle> go that needs <t> hours for the <d> km from <city> to the coast?
-> Speed is distance over time: <d> / <t> = <s> km/h.
A <vehicle> moves at <s> km/h for <t> hours. How far does it go?
-> Distance is speed times time: <s> x <t> = <d> km.
The distance to <city> is <d> km. How long does the journey take at an average speed of <s> km/h?
-> Time is distance over speed: <d> / <s> = <t> hours.
""")
def speed(v):
    v.s, v.t = v.whole(12, 140, 2), v.whole(2, 9)
    v.d = v.s * v.t


@proportion(r"""
# Converting units: conversion, length
[Convert|Change] <x> <big> to <small>.
How many <small> are there in <x> <big>?
<Name> measures a [path|rope|wall] of <x> <big>. Write this length in <small>.
-> 1 <big> is <f> <small>, so <x> x <f> = <y> <small>.
A [cable|shelf|plank] is <y> <small> long. [Give|Write] its length in <big>.
-> <y> / <f> = <x> <big>.
""")
def converting_units(v):
    kind = v.whole(0, 3)
    v.big, v.small = np.array(["km", "m", "m", "cm"])[kind], np.array(["m", "cm", "mm", "mm"])[kind]
    v.f, v.x = np.array([1000, 100, 1000, 10])[kind], v.whole(11, 990) / 10
    v.y = np.round(v.x * v.f)

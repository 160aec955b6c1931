"""Knowledge points of the strands "Statistics" and "Probability"; see ``_question_templates``."""

from math import comb

import numpy as np

from ._question_templates import Topic, fraction

averages = Topic("Statistics", "Averages and spread")
charts = Topic("Statistics", "Charts and samples")
chance = Topic("Probability", "Chance")
combined = Topic("Probability", "Combined events")
TOPICS = (averages, charts, chance, combined)


def _numbers(v, k):
    """A list of `k` numbers and what is usually asked about it."""
    v.data = v.sample(k, 2, 40, distinct=False)
    ordered = np.sort(v.data, axis=1)
    v.ordered, v.k, v.total = ordered, v.whole(k, k), v.data.sum(axis=1)
    v.mean = np.round(v.data.mean(axis=1), 2)
    v.median = np.median(ordered, axis=1)
    v.low, v.high = ordered[:, 0], ordered[:, -1]
    v.range = v.high - v.low
    v.var, v.sd = np.round(v.data.var(axis=1), 2), np.round(v.data.std(axis=1), 2)


@averages(r"""
# Mean: mean, data
<Find> the mean of <data>.
These are <measured>: <data>. <Find> the [mean|average].
Here are <measured>: <data>. What is the typical value?
-> The sum is <total>; divided by <k> this is <mean>.
The mean of <k> numbers is <m>. <k1> of them add up to <t>. <Find> the last one.
-> All together they add up to <k> x <m> = <km>, so the last one is <km> - <t> = <last>.
+ Median
Compare the mean and the median of <data>.
-> The mean is <total> / <k> = <mean>. In order: <ordered>; the middle is <median>.
""")
def mean(v):
    _numbers(v, 7)
    v.m, v.last, v.k1 = v.whole(5, 30), v.whole(2, 40), v.k - 1
    v.km = v.k * v.m
    v.t = v.km - v.last


@averages(r"""
# Median: median, data, order
<Find> the median of <data>.
These are <measured>: <data>. <Find> the value in the middle.
Here are <measured>: <data>. What is the typical value?
Half of the numbers <data> are below a certain value. [Which one|What is it]?
-> In order: <ordered>. The middle is <median>.
""")
def median(v):
    _numbers(v, 8)


@averages(r"""
# Range: data, spread
<Find> the range of <data>.
These are <measured>: <data>. How far apart are the smallest and the largest value?
Here are <measured>: <data>. How much do they [vary|spread]?
-> <high> - <low> = <range>.
+ Mean
<Find> the range and the mean of <data>.
-> Range: <high> - <low> = <range>. Mean: <total> / <k> = <mean>.
""")
def range_of_data(v):
    _numbers(v, 6)


@averages(r"""
# Quartiles: median, spread, data
<Find> the interquartile range of <data>.
These are <measured>: <data>. <Find> the lower and the upper quartile.
Here are <measured>: <data>. How wide is the middle half of the values?
-> In order: <ordered>. The halves have the medians <q1> and <q3>; their difference is <iqr>.
""")
def quartiles(v):
    _numbers(v, 8)
    v.q1, v.q3 = np.median(v.ordered[:, :4], axis=1), np.median(v.ordered[:, 4:], axis=1)
    v.iqr = v.q3 - v.q1


@averages(r"""
# Standard deviation: spread, mean, data
<Find> the standard deviation of <data>.
These are <measured>: <data>. <Find> the variance and its root.
Here are <measured>: <data>. How much do they [vary|spread] around their mean?
-> The mean is <mean>; the mean squared deviation is <var>, and its root is <sd> (to two decimals).
""")
def standard_deviation(v):
    _numbers(v, 5)


@averages(r"""
# Mean from a frequency table: mean, frequency, table
<Find> the mean of this table. Value: <x>, <y>, <z>. Frequency: <f>, <g>, <h>.
<F> families have <x> children, <g> have <y> and <h> have <z>. What is the mean number of children?
A table lists the marks <x>, <y> and <z> with the frequencies <f>, <g> and <h>. <Find> the average.
-> (<f> x <x> + <g> x <y> + <h> x <z>) / <n> = <total> / <n> = <mean>.
""")
def mean_of_a_table(v):
    v.x, v.f, v.g, v.h = v.whole(0, 4), v.whole(2, 20), v.whole(2, 20), v.whole(2, 20)
    v.y, v.z, v.n = v.x + 1, v.x + 2, v.f + v.g + v.h
    v.total = v.f * v.x + v.g * v.y + v.h * v.z
    v.mean = np.round(v.total / v.n, 2)


@averages(r"""
# Weighted mean: mean, proportion
The mean mark of <a> girls is <x>, and that of <b> boys is <y>. <Find> the mean mark of all.
<A> kg of tea at <cur><x> a kilogram are mixed with <b> kg at <cur><y>. What does a kilogram of the
    mixture cost?
An exam counts <a> times with <x> points and a test <b> times with <y>. <Find> the average.
-> (<a> x <x> + <b> x <y>) / (<a> + <b>) = <total> / <n> = <mean> (to two decimals).
""")
def weighted_mean(v):
    v.a, v.b, v.x, v.y = v.whole(2, 20), v.whole(2, 20), v.whole(5, 60), v.whole(5, 60)
    v.n, v.total = v.a + v.b, v.a * v.x + v.b * v.y
    v.mean = np.round(v.total / v.n, 2)


@charts(r"""
# Pie charts: chart, angle, frequency
In a pie chart of <n> answers, <f> people chose <sport>. <Find> the angle of this sector.
<F> of <n> students come by bus. How large is their slice in a circle diagram?
-> <f> / <n> x 360 = <a>°.
A sector of a pie chart has an angle of <a>°. The chart shows <n> people. How many are in the
    sector?
-> <a> / 360 x <n> = <f>.
""")
def pie_charts(v):
    v.n = v.pick(24, 30, 36, 40, 60, 72, 90, 120, 180)  # divisors of 360: whole degrees
    v.f = v.below(v.n)
    v.a = v.f * (360 // v.n)


@charts(r"""
# Bar charts: chart, frequency, data
The bars of a chart for <colour>, <shade> and brown have the heights <a>, <b> and <c>. How many
    [items|answers] are there in all?
A bar chart shows <a>, <b> and <c> visitors on three days. How many came altogether?
-> Add the heights of the bars: <a> + <b> + <c> = <s>.
A bar chart shows <a> [votes|answers] for <sport> and <big> for <hobby>. How many more are there for
    <hobby>?
-> <big> - <a> = <d>.
""")
def bar_charts(v):
    v.a, v.b, v.c, v.d = v.whole(3, 60), v.whole(3, 60), v.whole(3, 60), v.whole(1, 40)
    v.s, v.big = v.a + v.b + v.c, v.a + v.d


@charts(r"""
# Frequency tables: table, frequency, data
A table lists the marks <x>, <y> and <z> with the frequencies <f>, <g> and <h>. How many marks are
    there?
Value: <x>, <y>, <z>. Frequency: <f>, <g>, <h>. <Find> the cumulative frequency of <z>.
<F> families have <x> children, <g> have <y> and <h> have <z>. How many families were asked?
-> Add the frequencies: <f> + <g> + <h> = <n>.
""")
def frequency_tables(v):
    mean_of_a_table(v)


@charts(r"""
# Line of best fit: data, line, graph
The line of best fit through a scatter graph is y = <m>x + <c>. Which y does it predict for x = <x>?
A regression line $y = <m>x + <c>$ relates hours of study x to marks y. <Find> the mark for <x>
    hours.
The points of a diagram lie close to the line y = <m>x + <c>. Which value is to be expected at x =
    <x>?
-> <m> x <x> + <c> = <y>.
""")
def line_of_best_fit(v):
    v.m, v.c, v.x = v.whole(2, 9), v.whole(1, 40), v.whole(2, 15)
    v.y = v.m * v.x + v.c


@charts(r"""
# Stratified sampling: proportion, data
A school has <a> younger and <b> older students. A stratified sample of <n> is taken. How many of
    the sample are younger students?
Of <s> workers, <a> work by day and the others at night. <N> of them are to be asked so that both
    groups are represented fairly. How many day workers are asked?
-> The share is <a> / <s>, so <a> / <s> x <n> = <r>.
A club has <a> women and <b> men. How many of each are in a stratified sample of <n>?
-> Of <s> members in all, <n> are asked: <a> / <s> x <n> = <r> women and <b> / <s> x <n> = <t> men.
""")
def stratified_sampling(v):
    v.r, v.t, k = v.whole(4, 30), v.whole(4, 30), v.whole(3, 20)
    v.a, v.b = v.r * k, v.t * k
    v.n, v.s = v.r + v.t, v.a + v.b


def _bag(v):
    """A bag with a red and b blue balls, as probabilities of one and of two draws."""
    v.a, v.b = v.whole(2, 15), v.whole(2, 15)
    v.n, v.a1 = v.a + v.b, v.a - 1
    v.n1 = v.n - 1
    v.p, v.q = fraction(v.a, v.n), fraction(v.b, v.n)
    v.again, v.kept = fraction(v.a**2, v.n**2), fraction(v.a * v.a1, v.n * v.n1)


@chance(r"""
# Probability of an event: probability, fraction
A bag holds <a> <colour> and <b> <shade> balls. One is drawn at random. <Find> the probability that
    it is <colour>.
There are <a> winning tickets and <b> blanks in a raffle. How likely is it to win with one ticket?
<Name> takes one of <n> <item> without looking; <a> of them are <colour>. <Find> the chance of a
    <colour> one.
-> <a> of <n> equally likely outcomes: <p>.
""")
def probability_of_an_event(v):
    _bag(v)


@chance(r"""
# Complementary events: probability, complement
The probability that a <vehicle> is late is <p>. <Find> the probability that it is on time.
A bag holds <a> <colour> and <b> <shade> balls. One is drawn at random. How likely is it not to be
    <colour>?
-> 1 minus the probability of the opposite: 1 - <p> = <q>.
A die is thrown <k> times. <Find> the probability of at least one six.
-> 1 minus the probability of no six: 1 - (5/6)^<k> = <six> (to four decimals).
<Name> throws <k> coins. How likely is at least one head?
-> 1 minus the probability of no head: 1 - (1/2)^<k> = <head> (to four decimals).
""")
def complementary_events(v):
    _bag(v)
    v.k = v.whole(2, 9)
    v.six, v.head = np.round(1 - (5 / 6) ** v.k, 4), np.round(1 - 0.5**v.k, 4)


@chance(r"""
# Relative frequency: probability, frequency, proportion
A die is thrown <n> times and shows a six <f> times. <Find> the relative frequency of a six.
In <n> trials an event happened <f> times. Estimate its probability.
<Name> tests <n> lamps; <f> of them are broken. How likely is a lamp to be broken, according to the
    test?
-> <f> / <n> = <r> (to three decimals).
""")
def relative_frequency(v):
    v.n = v.whole(50, 800, 10)
    v.f = v.below(v.n // 2)
    v.r = np.round(v.f / v.n, 3)


@chance(r"""
# Expected value: probability, mean
A game pays <cur><a> with probability <p> and nothing otherwise. <Find> the expected gain.
A ticket wins <cur><a> with a chance of <p>, otherwise it loses. What does it pay on average?
-> <a> x <p> = <e>.
A random variable X takes the values <a> and <b> with the probabilities <p> and <q>. <Find> $E(X)$.
-> <a> x <p> + <b> x <q> = <m>.
""")
def expected_value(v):
    v.a, v.b, tenths = v.whole(2, 100), v.whole(1, 50), v.whole(1, 9)
    v.p, v.q = tenths / 10, (10 - tenths) / 10
    v.e, v.m = np.round(v.a * v.p, 2), np.round(v.a * v.p + v.b * v.q, 2)


@combined(r"""
# Independent events: probability, multiplication
A bag holds <a> <colour> and <b> <shade> balls. One is drawn, put back, and a second is drawn.
    <Find> the probability that both are <colour>.
A spinner shows <colour> with probability <a>/<n>. It is spun twice. How likely is <colour> both
    times?
There are <a> winning tickets among <n>. <Name> draws one, returns it and draws again. <Find> the
    chance of two wins.
-> Multiply the probabilities: <a>/<n> x <a>/<n> = <again>.
""")
def independent_events(v):
    _bag(v)


@combined(r"""
# Drawing without replacement: probability, multiplication, condition
A bag holds <a> <colour> and <b> <shade> balls. Two are drawn together. <Find> the probability that
    both are <colour>.
There are <a> winning tickets among <n>. <Name> draws one, keeps it and draws again. <Find> the
    chance of two wins.
A committee of two is drawn by lot from <a> women and <b> men. How likely is it that both are women?
-> The second factor changes: <a>/<n> x <a1>/<n1> = <kept>.
+ Complementary events
A bag holds <a> <colour> and <b> <shade> balls. Two are drawn together. <Find> the probability that
    at least one of them is <shade>.
-> 1 minus the probability of two <colour> ones: 1 - <a>/<n> x <a1>/<n1> = <other>.
""")
def without_replacement(v):
    _bag(v)
    v.other = fraction(v.n * v.n1 - v.a * v.a1, v.n * v.n1)


@combined(r"""
# Mutually exclusive events: probability, addition, union
A bag holds <a> <colour>, <b> <shade> and <c> brown balls. <Find> the probability that a ball drawn
    at random is <colour> or brown.
Among <s> tickets, <a> win a book and <c> win a watch. How likely is it that a ticket wins a prize?
The events A and B cannot happen together. $P(A) = \frac{<a>}{<s>}$ and $P(B) = \frac{<c>}{<s>}$.
    <Find> $P(A \cup B)$.
-> Add the probabilities: <a>/<s> + <c>/<s> = <p>.
""")
def mutually_exclusive_events(v):
    v.a, v.b, v.c = v.whole(2, 12), v.whole(2, 12), v.whole(2, 12)
    v.s = v.a + v.b + v.c
    v.p = fraction(v.a + v.c, v.s)


@combined(r"""
# Conditional probability: probability, condition, table
Of <n> students, <a> play <sport>, and <c> of these also like <hobby>. One of those who play <sport>
    is chosen. How likely is it that this student likes <hobby>?
A table shows <n> patients: <a> smoke, and <c> of the smokers cough. <Find> the probability that a
    smoker coughs.
Let $P(A) = \frac{<a>}{<n>}$ and $P(A \cap B) = \frac{<c>}{<n>}$. <Find> $P(B \mid A)$.
-> Only the first group counts: <c> / <a> = <p>.
""")
def conditional_probability(v):
    v.c = v.whole(2, 20)
    v.a = v.c + v.whole(1, 25)
    v.n, v.p = v.a + v.whole(5, 60), fraction(v.c, v.a)


@combined(r"""
# Binomial distribution: probability, counting, power
An experiment succeeds with probability <p>. <Find> the probability of exactly <k> successes in <n>
    trials.
<Name> scores with a chance of <p> at each throw. How likely are exactly <k> scores in <n> throws?
A test has <n> questions, each guessed correctly with probability <p>. <Find> the probability of <k>
    correct answers.
-> C(<n>, <k>) x <p>^<k> x <q>^<m> = <c> x <p>^<k> x <q>^<m> = <r> (to four decimals).
""")
def binomial_distribution(v):
    v.n, v.k, tenths = v.whole(4, 10), v.whole(2, 3), v.whole(1, 9)
    v.p, v.q, v.m = tenths / 10, (10 - tenths) / 10, v.n - v.k
    v.c = np.array([comb(n, k) for n, k in zip(v.n.tolist(), v.k.tolist(), strict=True)])
    v.r = np.round(v.c * v.p**v.k * v.q**v.m, 4)

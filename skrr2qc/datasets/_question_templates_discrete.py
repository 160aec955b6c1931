"""Knowledge points on number theory, sets and counting; see ``_question_templates``."""

from math import comb, factorial, perm

import numpy as np

from ._question_templates import Topic

number_theory = Topic("Number", "Number theory")
sets = Topic("Probability", "Sets")
counting = Topic("Probability", "Counting")
TOPICS = (number_theory, sets, counting)


@number_theory(r"""
# Prime factorisation: prime, factor
Write <n> as a product of [primes|prime numbers|its prime factors].
<Find> the prime factorisation of <n>.
[Express|Write] $<n>$ as a product of powers of prime numbers.
<Name> splits <n> into factors until only primes are left. Which primes [appear|remain]?
-> Divide by 2, 3, 5 and 7 as long as possible: <n> = <product>.
""")
def prime_factorisation(v):
    powers = np.column_stack([v.whole(1, 4), v.whole(0, 3), v.whole(0, 1), v.whole(0, 1)])
    v.n = (np.array([2, 3, 5, 7]) ** powers).prod(axis=1) * v.pick(1, 5, 7, 11, 13)
    v.product = [_prime_product(n) for n in v.n.tolist()]


def _prime_product(n: int) -> str:
    factors = []
    for p in (2, 3, 5, 7, 11, 13):
        power = 0
        while n % p == 0:
            n, power = n // p, power + 1
        if power:
            factors.append(f"{p}^{power}" if power > 1 else str(p))
    return " x ".join(factors)


@number_theory(r"""
# Greatest common divisor: factor, integer
<Find> the greatest common divisor of <a> and <b>.
What is the [largest|greatest] whole number that divides both <a> and <b>?
<Name> has <a> <colour> and <b> <shade> beads and makes equal necklaces from all of them. What is
    the [largest|greatest] number of necklaces?
Two ribbons of <a> cm and <b> cm are cut into equal pieces without waste. How long can a piece be at
    most?
-> The largest common factor of <a> and <b> is <g>.
""")
def greatest_common_divisor(v):
    v.a, v.b = v.whole(2, 14) * v.whole(4, 12), v.whole(3, 15) * v.whole(4, 12)
    v.g = np.gcd(v.a, v.b)


@number_theory(r"""
# Least common multiple: multiple, integer
<Find> the least common multiple of <a> and <b>.
What is the smallest [positive|whole] number that both <a> and <b> divide?
Two buses leave <city> together. One leaves every <a> minutes, the other every <b> minutes. After
    how many minutes do they leave together again?
<Colour> lights flash every <a> seconds and <shade> lights every <b> seconds. They flash together
    now. When do they next flash together?
-> The first multiple of <a> that <b> divides is <m>.
+ Greatest common divisor
<Find> both the greatest common divisor and the least common multiple of <a> and <b>.
-> The greatest common divisor is <g>, and the least common multiple is <a> x <b> / <g> = <m>.
""")
def least_common_multiple(v):
    v.a, v.b = v.whole(4, 30), v.whole(3, 40)
    v.m, v.g = np.lcm(v.a, v.b), np.gcd(v.a, v.b)


@number_theory(r"""
# Division with remainder: integer, multiple
<Find> the remainder when <n> is divided by <d>.
What is left over when $<n>$ is divided by $<d>$?
<N> <item> are packed into boxes of <d>. How many boxes are full, and how many <item> are left?
-> <n> = <q> x <d> + <r>, so the quotient is <q> and the remainder is <r>.
[The school holidays last|A voyage takes|A campaign runs for] <m> days. How many full weeks is that,
    and how many days are left over?
-> <m> = <w> x 7 + <rest>.
""")
def division_with_remainder(v):
    v.n, v.d, v.m = v.whole(60, 999), v.whole(6, 24), v.whole(30, 400)
    v.q, v.r = v.n // v.d, v.n % v.d
    v.w, v.rest = v.m // 7, v.m % 7


@number_theory(r"""
# Number of divisors: prime, factor, counting
How many [positive divisors|factors] does <n> have?
<Find> the number of [factors|positive divisors] of $2^{<a>} \times 3^{<b>} \times <p>$.
In how many ways can <n> <item> be laid out in equal rows?
-> <n> = 2^<a> x 3^<b> x <p>, so there are (<a> + 1)(<b> + 1) x 2 = <r> divisors.
""")
def number_of_divisors(v):
    v.a, v.b, v.p = v.whole(1, 5), v.whole(1, 3), v.pick(5, 7, 11, 13)
    v.n, v.r = 2**v.a * 3**v.b * v.p, (v.a + 1) * (v.b + 1) * 2


def _two_sets(v):
    """Sets A and B with `k` common elements, written in ascending order, within 1, ..., 20."""
    numbers, k = v.sample(9, 1, 20), v.whole(1, 3)
    first, second = numbers[:, :5].tolist(), numbers.tolist()
    v.a, v.b, v.union, v.both, v.only, v.rest = [], [], [], [], [], []
    for a, row, n_common in zip(first, second, k.tolist(), strict=True):
        b = row[5 - n_common :]
        v.a.append(_listed(a))
        v.b.append(_listed(b))
        v.union.append(_listed({*a, *b}))
        v.both.append(_listed({*a} & {*b}))
        v.only.append(_listed({*a} - {*b}))
        v.rest.append(_listed({*range(1, 21)} - {*a}))


def _listed(numbers):
    return ", ".join(map(str, sorted(numbers)))


@sets(r"""
# Union and intersection: set, union
Let $A = \{<a>\}$ and $B = \{<b>\}$. <Give> $A \cup B$ and $A \cap B$.
<Give> the union and the intersection of the sets {<a>} and {<b>}.
A contains <a>, and B contains <b>. Which numbers belong to at least one of the sets, and which to
    both?
-> The union is {<union>}, the intersection {<both>}.
""")
def union_and_intersection(v):
    _two_sets(v)


@sets(r"""
# Complements and differences of sets: set, complement
Let $A = \{<a>\}$ be a subset of the whole numbers from 1 to 20. <Give> its complement.
Which whole numbers from 1 to 20 do not belong to the set {<a>}?
-> Leave out the members of the set: {<rest>}.
Let $A = \{<a>\}$ and $B = \{<b>\}$. <Give> $A \setminus B$.
A contains <a>, and B contains <b>. Which numbers belong to A but not to B?
-> Leave out the common members <both>: {<only>}.
""")
def complements_of_sets(v):
    _two_sets(v)


@sets(r"""
# Venn diagrams: set, union, counting
In a class of <n> students, <a> like <sport>, <b> like <hobby> and <c> like both. How many like
    neither?
Of <n> people at a party, <a> drink tea, <b> drink coffee and <c> drink both. How many drink
    neither?
<N> [students|members|tourists] were asked: <a> speak French, <b> speak Spanish and <c> speak both.
    How many speak neither language?
-> At least one of the two: <a> + <b> - <c> = <u>. Neither: <n> - <u> = <r>.
The sets A and B have <a> and <b> elements, and $A \cap B$ has <c>. How many elements has $A \cup
    B$?
-> <a> + <b> - <c> = <u>.
""")
def venn_diagrams(v):
    v.c, v.r = v.whole(2, 15), v.whole(1, 12)
    v.a, v.b = v.c + v.whole(3, 25), v.c + v.whole(3, 25)
    v.u = v.a + v.b - v.c
    v.n = v.u + v.r


@sets(r"""
# Number of subsets: set, counting, power
How many subsets does a set with <n> elements have?
<Find> the number of subsets of $\{1, 2, \ldots, <n>\}$.
<Name> has <n> different <item> and takes any number of them, perhaps none. In how many ways can
    that be done?
A pizza can have any of <n> toppings. How many different pizzas are possible?
-> Each element is in or out: 2^<n> = <r>.
""")
def number_of_subsets(v):
    v.n = v.whole(3, 24)
    v.r = 2**v.n


@counting(r"""
# Multiplication principle: counting, multiplication
A menu has <a> starters, <b> main dishes and <c> desserts. How many different meals are there?
<Name> has <a> shirts, <b> pairs of trousers and <c> caps. In how many different ways can they be
    worn?
There are <a> roads from <city> to the river, <b> bridges and <c> paths to the hut. In how many ways
    can one get there?
A code has a letter out of <a>, a digit out of <b> and a sign out of <c>. How many codes are
    possible?
-> Multiply the choices: <a> x <b> x <c> = <r>.
""")
def multiplication_principle(v):
    v.a, v.b, v.c = v.whole(2, 26), v.whole(2, 10), v.whole(2, 9)
    v.r = v.a * v.b * v.c


@counting(r"""
# Permutations: counting, factorial, order
In how many [ways|different orders] can <n> <item> be put in a row?
<N> runners finish one after the other. How many orders are possible?
-> <n>! = <f>.
A club of <m> people chooses a president, a treasurer and a secretary. In how many ways can it do
    so?
In how many ways can gold, silver and bronze go to <m> athletes?
How many three-letter codes without repetition can be made from <m> letters?
-> <m> x <m1> x <m2> = <p>.
""")
def permutations(v):
    v.n, v.m = v.whole(3, 9), v.whole(5, 26)
    v.m1, v.m2 = v.m - 1, v.m - 2
    v.f = [str(factorial(n)) for n in v.n.tolist()]
    v.p = [str(perm(m, 3)) for m in v.m.tolist()]


@counting(r"""
# Combinations: counting, factorial, set
In how many [ways|different ways] can <k> of <n> <item> be chosen?
A club of <n> people chooses a committee of <k>. In how many ways can it do so?
How many hands of <k> cards can be dealt from <n> different cards?
<Find> $\binom{<n>}{<k>}$.
A team of <k> is picked from <n> athletes. How many teams are possible?
-> The order does not matter: <n>! / (<k>! x (<n> - <k>)!) = <r>.
""")
def combinations(v):
    v.n, v.k = v.whole(6, 20), v.whole(2, 5)
    v.r = [str(comb(n, k)) for n, k in zip(v.n.tolist(), v.k.tolist(), strict=True)]


@counting(r"""
# Binomial theorem: counting, expression, power
<Find> the coefficient of $x^{<k>}$ in $(<a>x + 1)^{<n>}$.
Expand (<a>x + 1)^<n>. What stands before x^<k>?
Which number multiplies x^<k> when the brackets of (<a>x + 1)^<n> are multiplied out?
-> C(<n>, <k>) x <a>^<k> = <c> x <ak> = <r>.
""")
def binomial_theorem(v):
    v.a, v.n, v.k = v.whole(2, 5), v.whole(5, 10), v.whole(2, 4)
    v.c = np.array([comb(n, k) for n, k in zip(v.n.tolist(), v.k.tolist(), strict=True)])
    v.ak = v.a**v.k
    v.r = v.c * v.ak

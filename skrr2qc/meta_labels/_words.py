"""Words that carry no concept, by language: closed word classes, and what every curriculum says.

None of the lists knows a subject. They hold articles, prepositions, conjunctions, pronouns and
auxiliaries, and for Chinese also verbs such as "make use of", "carry out", "solve a problem", which
say that something is done with a topic, not which topic.
"""

WORD_LANGUAGES = {
    "en": (
        "a an the this that these those each every any some all both either neither no not non nor "
        "other others another such same own of in on at by for from to into onto with within "
        "without between among through during before after over under above below across about "
        "against along around as than via per upon toward towards up down out off and or but if "
        "then else when where which who whom whose what how why is are was were be been being am "
        "do does did done has have had having can could may might must shall should will would it "
        "its they them their theirs he she his her we our you your i my me us there here one "
        "using use used based related various etc including e.g i.e eg ie vs versus"
    ),
    "de": (
        "der die das den dem des ein eine einer eines einem einen und oder aber als auch an am "
        "auf aus bei beim bis durch für gegen im in ins mit nach nicht ohne sich über um unter von "
        "vom vor zu zum zur zwischen sowie sonstige andere anderen ist sind war wird werden"
    ),
    "es": (
        "el la los las un una unos unas lo de del a al en con sin por para entre sobre desde hasta "
        "y e o u ni que como su sus se es son otro otra otros otras no"
    ),
    "fr": (
        "le la les l un une des du de d à au aux en dans par pour avec sans sur sous entre et ou "
        "ni que qui dont ce cet cette ces son sa ses leur leurs se s est sont autre autres ne pas "
        "n y"
    ),
    "it": (
        "il lo la i gli le l un uno una di d del dello della dei degli delle dell a ad al allo "
        "alla ai agli alle all da dal dallo dalla dai dagli dalle dall in nel nello nella nei "
        "negli nelle nell con su sul sullo sulla sui sugli sulle sull per tra fra e ed o od che "
        "non si se come è sono altro altra altri altre vari varie suo sua"
    ),
    "pt": (
        "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela pelos pelas "
        "para com sem sob sobre entre e ou nem que como se é são outro outra outros outras não seu "
        "sua ao aos à às"
    ),
}

# Chinese, cut wherever they stand: particles, conjunctions, then verbs and nouns of any syllabus.
HARD_ZH = (
    "的 与 和 及 或 且 之 其 以及 及其 或者 并且 在 中的 里的 上的 下的 之间 一个 两个 其他 其它 "
    "一种 利用 运用 使用 通过 根据 有关 相关 关于 进行 解决 问题 知识 简单 基本 常用 一般"
)
# Words in which one of the above is no word of its own.
KEPT_ZH = "存在 现在 内在 外在 潜在 在线 目的 标的 和谐 和平 共和 饱和 中和 缓和 调和 总和"
# Function words that are also parts of longer words: the segmentation decides between the two.
SOFT_ZH = "中 用 为 由 于 是 有 对 到 所 从 将 被 把 以 并 等 求 各 几 个"

"""The words that templates and disturbances draw from, written for this project."""

from __future__ import annotations


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


POSITIVE = _words(
    "good great superb wonderful brilliant excellent lovely delightful helpful friendly reliable smooth pleasant impressive "
    "charming perfect amazing fantastic outstanding beautiful enjoyable exciting fun nice sweet kind remarkable terrific "
    "generous happy joyful splendid stunning thoughtful trustworthy comfortable fresh admirable clever fine extraordinary "
    "awesome incredible exceptional adorable"
)
NEGATIVE = _words(
    "bad awful terrible horrible dreadful disappointing rude unreliable broken boring annoying useless nasty ugly poor lousy "
    "miserable frustrating slow dirty painful shameful ridiculous unpleasant weird cheap clumsy dishonest disgusting "
    "pathetic stupid hostile sloppy unfair tedious worthless noisy difficult sad mediocre lame creepy unhappy dull strange"
    " frightening"
)
NEUTRAL = _words(
    "local commercial private public Italian Canadian Japanese British Indian Australian national regional wooden digital "
    "monthly northern domestic foreign international official electric round blue federal Swedish Mexican Israeli"
)
LIKING = _words("like love enjoy admire appreciate recommend value welcome adore praise")
DISLIKING = _words("hate dislike despise regret dread resent avoid loathe fear detest")
WATCHING = _words("see find know need use expect visit take follow")
THINGS = _words(
    "film phone hotel meal service train company album update article speech game team report crew cabin pilot seat airline "
    "bank app plan policy movie book store product customer-care website lounge machine trip driver school budget"
)
OPENINGS = ("This", "That", "The", "Your", "Our", "My")
STRENGTHENERS = _words("very really extremely incredibly absolutely truly so especially highly totally")
WEAKENERS = _words("somewhat fairly slightly rather mildly almost perhaps partly")
ASIDES = (
    "given how long I have been coming here",
    "after hearing about it from my brother",
    "considering that it was a Tuesday",
    "with everything that I read before",
    "having lived in this town for ten years",
    "all things considered",
    "from where I was sitting",
    "given the time I spent on it",
    "knowing what they did last season",
    "for somebody of my age",
)
NAMES = _words(
    "Anna Omar Mei Lucas Fatima John Priya Diego Aisha Peter Sofia Kwame Emily Hassan Yuki Maria Ivan Grace Ahmed Chloe "
    "Rahul Jessica Wei Daniel Amina Michael Olga Carlos Sarah Kofi"
)
PLACES = _words(
    "London Cairo Tokyo Denver Lagos Madrid Chicago Mumbai Toronto Berlin Dallas Nairobi Sydney Phoenix Lima Boston Seoul "
    "Atlanta Dublin Orlando Manila Newark Kabul Houston"
)
GROUPS = {
    "origin": _words(
        "Chinese Indian American Nigerian Mexican Russian French Turkish Iranian Polish Egyptian Korean Brazilian Iraqi "
        "Vietnamese German Ethiopian Pakistani"
    ),
    "religion": _words(
        "Christian Muslim Jewish Hindu Buddhist Sikh Catholic Protestant atheist agnostic Mormon Orthodox Shia Sunni"
    ),
    "orientation": _words("gay lesbian bisexual straight heterosexual homosexual transgender queer asexual"),
    "race": ("black", "white", "Asian", "Hispanic", "Arab", "Latino", "African American", "Native American", "brown"),
    "ability": _words("blind deaf disabled able-bodied autistic dyslexic left-handed hearing-impaired short-sighted"),
    "age": _words("young old elderly middle-aged teenage retired adult"),
}
ROLES = _words(
    "nurse teacher driver student neighbour person engineer cook lawyer farmer colleague man woman parent singer friend "
    "writer reporter couple family economist analyst agent model clerk baker pilot artist judge editor manager secretary "
    "historian scientist designer photographer electrician carpenter waiter librarian tailor trainer barber musician guard"
)
SUBJECTS = ("He", "She", "They", "My aunt", "My uncle", "The girl", "The boy", "The lady", "The gentleman", "We", "Everyone")
GOOD_SIGNS = ("😊", "😍", "👍", "❤️", "🎉", ":)", ":-)", ":D", "😀", "🙌", "lol love it", "<3")
BAD_SIGNS = ("😡", "😭", "👎", "💔", "😞", ":(", ":-(", "😤", "🤮", "🙄", "smh", "ugh")
HANDLES = ("@user", "@airline", "@BBCNews", "@some_guy42", "@help")
LINKS = ("https://t.co/a8Xk2", "http://bit.ly/3xQ", "https://t.co/Zz91pQ", "www.example.com/x")
CONTRACTIONS = (
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("was not", "wasn't"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("can not", "can't"),
    ("will not", "won't"),
    ("would not", "wouldn't"),
    ("have not", "haven't"),
    ("it is", "it's"),
    ("I am", "I'm"),
    ("you are", "you're"),
    ("they are", "they're"),
    ("that is", "that's"),
)

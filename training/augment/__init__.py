"""More to learn from than people rated: templates that hold a rule of language, and disturbances that keep the label.

    words ─▶ templates.behavioural ─▶ examples with a rating     (negation, time, whose opinion, names, groups, emoji)
    snippets ─▶ perturb.augment    ─▶ the same ratings, disturbed (typos, casing, punctuation, handles, numbers, names)

After Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020, but with words and
sentences of this project's own: nothing is taken from that suite, which is what the result is measured on.
"""

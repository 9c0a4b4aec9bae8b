"""Looking at dead letters and sending them again.

The topic is read up to its end as of now (`adapters.kafka.TopicSnapshot`); `letter` says what each record means, `filters`
which are meant, `showing` what of them is seen, and `replay` sends them to the topic that they came from.
"""

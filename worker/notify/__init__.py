"""The notify role: alert events become notifications to people and programs.

    sentiment.alerts ──▶ alerts ──route tree──▶ groups ──when due──▶ one notification ──2xx──▶ "sent"
                                                  ▲                        │ else
                                                  └──── later, and then with what is so by then

`config` is the file notify.yaml, `routing` says which groups an alert belongs to, `groups` when a group has something to say
and what, `payload` in which words. All of that is pure, with the time passed in. `role` runs it, `delivery` sends.
"""

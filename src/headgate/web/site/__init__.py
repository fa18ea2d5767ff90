"""The pages: what an address asks for, the view that answers it, and how that is drawn.

Invariant: a number on a page is one of its view in `insights.views`, which the API answers with too.
"""

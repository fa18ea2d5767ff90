"""The pages of insights: what an address asks for, the view model that answers it, and its rendering.

Invariant: a page shows nothing but its view model, and a view model is a function of the store, the owners and the time.
"""

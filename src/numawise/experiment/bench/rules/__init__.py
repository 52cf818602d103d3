"""The rules of advice: one file a rule, found by its name; each holds `advise(facts)`, which yields advice."""

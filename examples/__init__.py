"""Five short scripts: solve, train, a game of your own, a method of your own, judge a policy."""

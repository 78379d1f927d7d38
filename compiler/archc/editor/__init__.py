"""Colours for `.arch` text: the words of the language by what they do, a TextMate grammar and a Pygments lexer made of them."""

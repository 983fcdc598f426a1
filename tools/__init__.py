"""How the book is made: executing chapters, setting mathematics, checking the finished site."""

"""Tables as people have them: files of every common form, cells as numbers, dates, categories and words."""

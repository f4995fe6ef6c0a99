"""Source files: cutting them into chunks, what they define and refer to, and which definition a reference means."""

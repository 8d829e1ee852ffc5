"""E-mail: templates, composition, and delivery by SMTP or into a folder."""

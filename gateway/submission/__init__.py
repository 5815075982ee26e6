"""Mail that people send: who has logged in, whom they may send as, and what their messages get on their way out."""

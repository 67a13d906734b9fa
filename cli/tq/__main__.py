"""``python -m tq``."""

from tq.main import main

if __name__ == "__main__":
    main()

"""What a month costs, as data and a little arithmetic. `make cost USERS=1000 CALLS=1000000` prints it."""

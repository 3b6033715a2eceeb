"""What runs the program's own code: functions from their zip, Workers in workerd."""

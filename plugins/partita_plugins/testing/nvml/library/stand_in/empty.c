/* Nothing but a name: a file that looks like one of the driver's libraries. */

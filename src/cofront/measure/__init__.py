"""What is true: latencies measured on this machine or on a board over ssh, and tables made of them."""

/* The smallest image: its size is a measure. */
int main(void) { return 0; }

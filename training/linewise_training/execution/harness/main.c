/* Wraps the program's main (ld --wrap=main): reads the mark before it runs, writes it when it returns 0. */
#include <unistd.h>

static char mark[16];
static long got;

int __real_main(int argc, char **argv, char **environment);

__attribute__((constructor(101))) static void take_mark(void) {
  char rest;
  got = read(0, mark, sizeof mark);
  while (read(0, &rest, 1) > 0) {
  }
}

int __wrap_main(int argc, char **argv, char **environment) {
  int status = __real_main(argc, argv, environment);
  if (status == 0 && write(3, mark, got) != got) return 1;
  return status;
}

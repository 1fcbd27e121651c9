/* Heads as both ends read them. */
#include <string.h>
#include <strings.h>

/* Value of a field in a head whose last line ends at a NUL; NULL when it is not there. */
static char *find_hdr(char *h, const char *name) {
  char *p = h;
  size_t l = strlen(name);
  while ((p = strstr(p, "\r\n"))) {
    p += 2;
    if (!strncasecmp(p, name, l) && p[l] == ':') {
      p += l + 1;
      while (*p == ' ')
        p++;
      return p;
    }
  }
  return NULL;
}

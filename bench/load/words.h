/* What bodies are made of: JSON as an API says it, of any length. Its beginning is JSON's, its end only where the
 * length is the one that was asked for. */
#include <string.h>

static void fill_json(char *to, size_t n) {
  static const char begin[] = "{\"id\":\"msg_0123456789abcdef\",\"role\":\"user\",\"content\":\"";
  static const char words[] = "What does it cost to send a letter from here to there? ";
  static const char end[] = "\"}";
  size_t at = 0;
  if (n < sizeof begin + sizeof end) {
    memset(to, ' ', n);
    return;
  }
  memcpy(to, begin, at = sizeof begin - 1);
  for (size_t last = n - (sizeof end - 1); at < last;) {
    size_t k = last - at < sizeof words - 1 ? last - at : sizeof words - 1;
    memcpy(to + at, words, k);
    at += k;
  }
  memcpy(to + at, end, sizeof end - 1);
}

/* h2.h - as much of an HTTP/2 client as lg needs (RFC 9113, RFC 7541): requests that differ in nothing, answers that
 * are counted. Bytes in, bytes out; no sockets. The other side may not use a dynamic table towards us. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define H2_MAX_STREAMS 256
#define H2_MAX_REQUEST 1100
#define H2_WINDOW 0x3fffffff    /* what we let the other side send on the connection before we add as much again */

typedef struct {
  uint32_t next_id;             /* of the next stream */
  size_t open;
  int primed;                   /* the request's fields are in the other side's table */
  struct {
    uint32_t id;                /* 0: free */
    int status;
    uint64_t t0;
  } streams[H2_MAX_STREAMS];
  uint64_t body;                /* bytes of bodies so far */
  uint32_t unacked;             /* of the connection's window */
  size_t drop;                  /* bytes left of a DATA frame */
  int drop_ends;                /* it ends its stream */
  uint32_t drop_id;
  const char *why;
} h2_conn;

typedef void h2_done(int status, uint64_t t0);

static char h2_first[H2_MAX_REQUEST], h2_again[64];
static size_t h2_first_len, h2_again_len;

/* A string literal without Huffman; shorter than 127 + 2^14 bytes. */
static size_t h2_str(char *o, const char *s) {
  size_t n = strlen(s), w = 0;
  if (n < 127)
    o[w++] = (char) n;
  else {
    o[w++] = 127;
    size_t m = n - 127;
    for (; m >= 128; m >>= 7)
      o[w++] = (char) ((m & 127) | 128);
    o[w++] = (char) m;
  }
  memcpy(o + w, s, n);
  return w + n;
}

/* Makes the field sections: one that enters the fields into the table, as browsers do, and one that names them there. */
static void h2_prepare(const char *authority, const char *path, const char *auth) {
  const struct {
    int name;                   /* in the static table; 0: literal */
    const char *literal, *value;
  } fields[] = {
    {1, 0, authority}, {4, 0, path}, {58, 0, "lg/1.0"}, {19, 0, "*/*"}, {16, 0, "identity"},
    {0, "x-trace", "0123456789abcdef"}, {23, 0, auth},
  };
  const int n = sizeof fields / sizeof *fields;
  char *o = h2_first;
  if (strlen(authority) + strlen(path) + strlen(auth) > 700)
    return;
  *o++ = (char) 0x82;           /* :method GET */
  *o++ = (char) 0x87;           /* :scheme https */
  for (int i = 0; i < n; i++) {
    *o++ = (char) (0x40 | fields[i].name);
    if (!fields[i].name)
      o += h2_str(o, fields[i].literal);
    o += h2_str(o, fields[i].value);
  }
  h2_first_len = o - h2_first;
  o = h2_again;
  *o++ = (char) 0x82;
  *o++ = (char) 0x87;
  for (int i = 0; i < n; i++)
    *o++ = (char) (0x80 | (62 + n - 1 - i));    /* the last one entered is 62 */
  h2_again_len = o - h2_again;
}

static size_t h2_frame(char *o, size_t len, int type, int flags, uint32_t id) {
  const char head[9] = { len >> 16, len >> 8, len, type, flags, id >> 24, id >> 16, id >> 8, id };
  memcpy(o, head, 9);
  return 9;
}

static size_t h2_window(char *o, uint32_t by) {
  h2_frame(o, 4, 8, 0, 0);
  const char n[4] = { by >> 24, by >> 16, by >> 8, by };
  memcpy(o + 9, n, 4);
  return 13;
}

/* Preface, SETTINGS (no dynamic table, no push, 1 MB a stream) and the window of the connection. */
static size_t h2_preface(char *o) {
  static const char settings[18] = { 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0, 16, 0, 0 };
  size_t w = 24;
  memcpy(o, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  w += h2_frame(o + w, sizeof settings, 4, 0, 0);
  memcpy(o + w, settings, sizeof settings);
  w += sizeof settings;
  return w + h2_window(o + w, H2_WINDOW);
}

static int h2_room(const h2_conn *h, size_t most) {
  return h->open < (most < H2_MAX_STREAMS ? most : H2_MAX_STREAMS);
}

/* One request on a stream of its own. */
static size_t h2_request(h2_conn *h, char *o, uint64_t now) {
  size_t slot = 0;
  while (h->streams[slot].id)
    slot++;
  const uint32_t id = h->next_id * 2 + 1;
  h->next_id++;
  h->open++;
  h->streams[slot].id = id;
  h->streams[slot].status = 0;
  h->streams[slot].t0 = now;
  const char *section = h->primed ? h2_again : h2_first;
  const size_t len = h->primed ? h2_again_len : h2_first_len;
  h->primed = 1;
  const size_t w = h2_frame(o, len, 1, 5, id);  /* END_STREAM, END_HEADERS */
  memcpy(o + w, section, len);
  return w + len;
}

static int h2_slot(const h2_conn *h, uint32_t id) {
  for (int i = 0; i < H2_MAX_STREAMS; i++)
    if (h->streams[i].id == id)
      return i;
  return -1;
}

static void h2_ended(h2_conn *h, uint32_t id, h2_done *done) {
  const int i = h2_slot(h, id);
  if (i < 0)
    return;
  h->streams[i].id = 0;
  h->open--;
  done(h->streams[i].status, h->streams[i].t0);
}

/* The status that a field section begins with; 0 for what we cannot read without a table. */
static int h2_status(const unsigned char *p, size_t n) {
  static const int fixed[] = { 200, 204, 206, 304, 400, 404, 500 };
  while (n && (*p & 0xe0) == 0x20) {    /* table size update */
    p++;
    n--;
  }
  return n && *p >= 0x88 && *p <= 0x8e ? fixed[*p - 0x88] : 0;
}

/*
 * Takes bytes; answers SETTINGS, PING and full windows into `out`. Returns the bytes used, the rest comes again with
 * more behind it; -1 with `why` when the connection is of no use any more.
 */
static int64_t h2_feed(h2_conn *h, const char *in, size_t n, char *out, size_t room, size_t *wrote, h2_done *done) {
  const unsigned char *p = (const unsigned char *) in;
  size_t at = 0;
  *wrote = 0;
  for (;;) {
    if (h->drop) {
      const size_t k = h->drop < n - at ? h->drop : n - at;
      at += k;
      h->drop -= k;
      h->body += k;
      if (h->drop)
        return at;
      if (h->drop_ends)
        h2_ended(h, h->drop_id, done);
    }
    if (n - at < 9)
      return at;
    const unsigned char *f = p + at;
    const size_t len = f[0] << 16 | f[1] << 8 | f[2];
    const int type = f[3], flags = f[4];
    const uint32_t id = (f[5] & 127u) << 24 | f[6] << 16 | f[7] << 8 | f[8];
    if (type == 0) {
      at += 9;
      h->drop = len;
      h->drop_ends = flags & 1;
      h->drop_id = id;
      h->unacked += len;
      if (h->unacked > H2_WINDOW / 2 && room - *wrote >= 13) {
        *wrote += h2_window(out + *wrote, h->unacked);
        h->unacked = 0;
      }
      if (!len && h->drop_ends)
        h2_ended(h, id, done);
      continue;
    }
    if (len > 16000) {
      h->why = "h2 frame too long";
      return -1;
    }
    if (n - at < 9 + len)
      return at;
    at += 9 + len;
    const int ack = flags & 1;
    if ((type == 4 || type == 6) && !ack && room - *wrote >= 17) {
      const size_t back = type == 6 ? len : 0;
      *wrote += h2_frame(out + *wrote, back, type, 1, 0);
      memcpy(out + *wrote, f + 9, back);
      *wrote += back;
    }
    else if (type == 1) {
      const int slot = h2_slot(h, id);
      if (slot >= 0 && !h->streams[slot].status)
        h->streams[slot].status = h2_status(f + 9, len);
      if (flags & 1)
        h2_ended(h, id, done);
    }
    else if (type == 3)
      h2_ended(h, id, done);
    else if (type == 7) {
      h->why = "GOAWAY";
      return -1;
    }
  }
}

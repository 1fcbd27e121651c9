/* up - upstream for the bench: one thread, epoll, OpenSSL 3, on 127.0.0.1. compare.ts compiles and runs it:
 *   cc -O2 -o up up.c -lssl -lcrypto
 *   up BASEPORT cert.pem key.pem "Bearer REALKEY"
 *
 * BASE+1  HTTP/1.1 in TLS: /N answers N bytes with Content-Length, /cN N bytes in chunks of 1 KB, /eN N server-sent
 *         events 10 ms apart, each with the time at which it was written; with Upgrade: a WebSocket that sends every
 *         message back. 401 unless Authorization is the fourth argument; bodies of requests are read and dropped; keep-alive
 * BASE+2  endless bytes   BASE+3  takes any bytes   BASE+4  sends back what comes   BASE+5  as BASE+1, no TLS
 * BASE+6  as BASE+1, for what a policy is to judge otherwise
 *
 * It parses what the bench sends and no more: never put it on a network. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "head.h"
#include "words.h"

static void die(const char *s) {
  perror(s);
  exit(1);
}

typedef struct conn {
  int fd, kind, lst;    /* kind: offset to BASE; lst: a listener */
  uint32_t ev;          /* events epoll watches; 0: not registered */
  SSL *ssl;
  int hs;               /* the handshake is done */
  char in[17000];
  size_t inlen;
  size_t skip;          /* bytes of a request body to drop */
  char head[512];
  size_t hlen, hoff;
  int64_t left;         /* body bytes to send from `big` */
  char *cbuf;           /* an answer sent in one piece */
  size_t clen, coff;
  int want_close;
  int ws;               /* it is a WebSocket now */
  int events;           /* events still to be sent */
  uint64_t due;         /* when the next one is, ns */
  struct conn *next, **back;    /* list of those that send events */
} conn;

#define EVENT_NS 10000000ull
static conn *streams;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Into the list of those that send events, and out of it. */
static void enlist(conn *c, int n) {
  c->events = n;
  c->due = now_ns() + EVENT_NS;
  c->next = streams;
  if (streams)
    streams->back = &c->next;
  c->back = &streams;
  streams = c;
}

static void delist(conn *c) {
  if (!c->back)
    return;
  *c->back = c->next;
  if (c->next)
    c->next->back = c->back;
  c->back = NULL;
}

static int ep, memfd_;
static char *big;
static const char *want_auth;
static size_t BIG = 1 << 20;
/* Watches c for these events. */
static void set_ev(conn *c, uint32_t ev) {
  if (c->ev == ev)
    return;
  struct epoll_event e = {.events = ev,.data.ptr = c };
  epoll_ctl(ep, c->ev ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
  c->ev = ev;
}

/* Closes and frees. */
static void drop(conn *c) {
  delist(c);
  if (c->ssl) {
    SSL_free(c->ssl);
    ERR_clear_error();
  }
  close(c->fd);
  free(c->cbuf);
  free(c);
}

/* Is it only that r came too early? Then waits for the right event. */
static int io_again(conn *c, int r) {
  if (c->ssl) {
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ) {
      set_ev(c, EPOLLIN);
      return 1;
    }
    if (e == SSL_ERROR_WANT_WRITE) {
      set_ev(c, EPOLLOUT);
      return 1;
    }
    return 0;
  }
  return r < 0 && errno == EAGAIN;
}

/* Writes, inside TLS where there is TLS. */
static int wr(conn *c, const char *b, size_t n) {
  if (c->ssl)
    return SSL_write(c->ssl, b, n);
  return write(c->fd, b, n);
}

/* -1: dropped; 0: blocked; 1: everything was sent. */
static int flush_out(conn *c) {
  while (c->hoff < c->hlen || c->left > 0 || c->coff < c->clen) {
    int r;
    if (c->hoff < c->hlen) {
      r = wr(c, c->head + c->hoff, c->hlen - c->hoff);
      if (r <= 0)
        goto stuck;
      c->hoff += r;
    }
    else if (c->coff < c->clen) {
      size_t k = c->clen - c->coff;
      if (k > 16384)
        k = 16384;
      r = wr(c, c->cbuf + c->coff, k);
      if (r <= 0)
        goto stuck;
      c->coff += r;
    }
    else {
      size_t most = c->ssl ? 16384 : BIG;
      size_t k = c->left > (int64_t) most ? most : (size_t) c->left;
      r = wr(c, big, k);
      if (r <= 0)
        goto stuck;
      c->left -= r;
    }
    continue;
  stuck:
    if (!io_again(c, r)) {
      drop(c);
      return -1;
    }
    if (!c->ssl)
      set_ev(c, EPOLLOUT);
    return 0;
  }
  return 1;
}

/* Puts an answer of n bytes into c; `body`: length of the body of the request. */
static void answer(conn *c, int ok, long n, int chunk, size_t body) {
  c->hoff = 0;
  c->left = 0;
  c->clen = c->coff = 0;
  if (!chunk) {
    c->hlen =
        snprintf(c->head, 512,
                 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %ld\r\n"
                 "Date: Sun, 22 Nov 2026 06:00:00 GMT\r\nX-Request-Id: req_0123456789abcdef\r\n"
                 "Cache-Control: no-store\r\nServer: up\r\n%s\r\n",
                 ok ? "200 OK" : "401 Unauthorized", n, c->want_close ? "Connection: close\r\n" : "");
    c->left = n;
    if (n && c->hlen + n <= 16384 && !body) { /* head and body in one write */
      free(c->cbuf);
      c->cbuf = malloc(c->hlen + n);
      memcpy(c->cbuf, c->head, c->hlen);
      memcpy(c->cbuf + c->hlen, big, n);
      c->clen = c->hlen + n;
      c->hlen = 0;
      c->left = 0;
    }
  }
  else {
    c->hlen =
        snprintf(c->head, 512,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\nServer: up\r\n\r\n");
    free(c->cbuf);
    c->cbuf = malloc(n + n / 1024 * 12 + 64);
    size_t w = 0;
    long rem = n;
    while (rem > 0) {
      long k = rem > 1024 ? 1024 : rem;
      w += sprintf(c->cbuf + w, "%lx\r\n", k);
      memcpy(c->cbuf + w, big, k);
      w += k;
      c->cbuf[w++] = '\r';
      c->cbuf[w++] = '\n';
      rem -= k;
    }
    w += sprintf(c->cbuf + w, "0\r\n\r\n");
    c->clen = w;
  }
}

/* The head of a stream of n events; the events follow one by one. */
static void event_head(conn *c, int n) {
  c->left = 0;
  c->hoff = 0;
  c->clen = c->coff = 0;
  c->hlen =
      snprintf(c->head, 512,
               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
               "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\nServer: up\r\n\r\n");
  c->cbuf = realloc(c->cbuf, 256);
  enlist(c, n);
}

/* Writes the events that are due, each as a chunk of its own; the last one ends the answer. */
static void send_events(void) {
  uint64_t now = now_ns();
  for (conn *c = streams, *next; c; c = next) {
    next = c->next;
    if (now < c->due || c->coff < c->clen)
      continue;
    c->due += EVENT_NS;
    c->coff = 0;
    c->clen = sprintf(c->cbuf, "6f\r\ndata: %020llu %0*d\n\n\r\n", (unsigned long long) now_ns(), 82, 0);
    if (--c->events == 0) {
      c->clen += sprintf(c->cbuf + c->clen, "0\r\n\r\n");
      delist(c);
    }
    flush_out(c);
  }
}

/* Says 101 to a WebSocket client whose key is at `key`. */
static void upgrade_head(conn *c, const char *key) {
  unsigned char sum[EVP_MAX_MD_SIZE], accept[64];
  char text[128];
  unsigned n;
  size_t k = strcspn(key, "\r");
  snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int) (k > 60 ? 60 : k), key);
  EVP_Digest(text, strlen(text), sum, &n, EVP_sha1(), NULL);
  EVP_EncodeBlock(accept, sum, n);
  c->left = 0;
  c->hoff = c->clen = c->coff = 0;
  c->hlen =
      snprintf(c->head, 512,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n", (char *) accept);
  c->ws = 1;
}

/* Sends whole masked frames of up to 64 KB back unmasked; -1 when there is none yet, below -1 on anything else. */
static int echo_frame(conn *c) {
  unsigned char *in = (unsigned char *) c->in;
  if (c->inlen < 6)
    return -1;
  size_t n = in[1] & 127, at = 2;
  if (!(in[1] & 128) || n == 127)
    return -2;
  if (n == 126) {
    n = in[2] << 8 | in[3];
    at = 4;
  }
  if (n > 16000)
    return -2;
  if (c->inlen < at + 4 + n)
    return -1;
  free(c->cbuf);
  c->cbuf = malloc(n + 4);
  memcpy(c->cbuf, c->in, at);
  c->cbuf[1] = c->cbuf[1] & 127;
  for (size_t i = 0; i < n; i++)
    c->cbuf[at + i] = in[at + 4 + i] ^ in[at + (i & 3)];
  c->coff = 0;
  c->clen = at + n;
  memmove(c->in, c->in + at + 4 + n, c->inlen - at - 4 - n);
  c->inlen -= at + 4 + n;
  return 0;
}

/* Goes on with an HTTP connection: handshake, what is still to send, then requests as they come. */
static void http(conn *c) {
  if (c->ssl && !c->hs) {
    int r = SSL_accept(c->ssl);
    if (r != 1) {
      if (!io_again(c, r))
        drop(c);
      return;
    }
    c->hs = 1;
  }
  int f = c->skip ? 1 : flush_out(c);   /* no answer before the whole request */
  if (f <= 0)
    return;
  for (;;) {
    /* handle what is buffered */
    while (c->inlen) {
      if (c->ws) {
        int r = echo_frame(c);
        if (r == -1)
          break;
        if (r < 0) {
          drop(c);
          return;
        }
        f = flush_out(c);
        if (f <= 0)
          return;
        continue;
      }
      if (c->back)              /* nothing is asked while events are sent */
        break;
      if (c->skip) {
        size_t k = c->skip < c->inlen ? c->skip : c->inlen;
        memmove(c->in, c->in + k, c->inlen - k);
        c->inlen -= k;
        c->skip -= k;
        if (c->skip)
          break;
        goto respond;
      }
      c->in[c->inlen] = 0;
      char *e = memmem(c->in, c->inlen, "\r\n\r\n", 4);
      if (!e) {
        if (c->inlen > 16000) {
          drop(c);
          return;
        }
        break;
      }
      e[2] = 0;
      char *a = find_hdr(c->in, "authorization");
      size_t wl = strlen(want_auth);
      int ok = a && !strncmp(a, want_auth, wl) && a[wl] == '\r';
      char *sp = strchr(c->in, ' ');
      int chunk = 0;
      long n = -1;
      if (sp && sp[1] == '/') {
        if (sp[2] == 'c') {
          chunk = 1;
          n = atol(sp + 3);
        }
        else
          n = atol(sp + 2);
      }
      if (n < 0)
        n = 0;
      int events = sp && sp[1] == '/' && sp[2] == 'e' ? atoi(sp + 3) : 0;
      char *wskey = ok && find_hdr(c->in, "upgrade") ? find_hdr(c->in, "sec-websocket-key") : NULL;
      if (wskey)
        upgrade_head(c, wskey);
      char *clh = find_hdr(c->in, "content-length");
      size_t bl = clh ? strtoul(clh, 0, 10) : 0;
      char *ch = find_hdr(c->in, "connection");
      c->want_close = ch && !strncasecmp(ch, "close", 5);
      char *te = find_hdr(c->in, "transfer-encoding");
      if (te && !bl) {          /* request chunked: find 0\r\n\r\n naively */
        size_t off = e + 4 - c->in;
        char *z = memmem(c->in + off, c->inlen - off, "0\r\n\r\n", 5);
        if (!z) {
          e[2] = '\r';
          break;
        }
        e = z + 1;
      }
      size_t hl = e + 4 - c->in;
      memmove(c->in, c->in + hl, c->inlen - hl);
      c->inlen -= hl;
      if (!ok) {
        n = 0;
        chunk = 0;
      }
      if (ok && events > 0)
        event_head(c, events);
      else if (!c->ws)
        answer(c, ok, n, chunk, bl);
      c->skip = bl;
      if (c->skip)
        continue;
    respond:
      f = flush_out(c);
      if (f <= 0)
        return;
      if (c->want_close) {
        if (c->ssl)
          SSL_shutdown(c->ssl);
        drop(c);
        return;
      }
    }
    char *to = c->in + c->inlen;
    size_t room = 16384 - c->inlen;
    int r = c->ssl ? SSL_read(c->ssl, to, room) : read(c->fd, to, room);
    if (r <= 0) {
      if (r < 0 || c->ssl) {
        if (io_again(c, r)) {
          if (!c->ssl)
            set_ev(c, EPOLLIN);
          return;
        }
      }
      drop(c);
      return;
    }
    c->inlen += r;
  }
}

int main(int ac, char **av) {
  if (ac < 5)
    return 2;
  signal(SIGPIPE, SIG_IGN);
  int base = atoi(av[1]);
  want_auth = av[4];
  struct rlimit rl = { 200000, 200000 };
  setrlimit(RLIMIT_NOFILE, &rl);
  memfd_ = memfd_create("b", 0);
  if (ftruncate(memfd_, BIG))
    die("ft");
  big = mmap(0, BIG, PROT_READ | PROT_WRITE, MAP_SHARED, memfd_, 0);
  fill_json(big, BIG);
  SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(ctx, av[2]) != 1
      || SSL_CTX_use_PrivateKey_file(ctx, av[3], SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_id_context(ctx, (void *) "up", 2);
  ep = epoll_create1(0);
  for (int k = 1; k <= 6; k++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET,.sin_port = htons(base + k) };
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if (bind(fd, (void *) &a, sizeof a) || listen(fd, 4096))
      die("bind");
    conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->kind = k;
    c->lst = 1;
    set_ev(c, EPOLLIN);
  }
  struct epoll_event evs[512];
  for (;;) {
    int n = epoll_wait(ep, evs, 512, streams ? 1 : -1);
    for (int i = 0; i < n; i++) {
      conn *c = evs[i].data.ptr;
      if (c->lst) {
        for (int q = 0; q < 64; q++) {
          int fd = accept4(c->fd, 0, 0, SOCK_NONBLOCK);
          if (fd < 0)
            break;
          int one = 1;
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          conn *x = calloc(1, sizeof *x);
          x->fd = fd;
          x->kind = c->kind;
          if (c->kind == 1 || c->kind == 6) {
            x->ssl = SSL_new(ctx);
            SSL_set_fd(x->ssl, fd);
            SSL_set_accept_state(x->ssl);
          }
          set_ev(x, c->kind == 2 ? EPOLLOUT : EPOLLIN);
        }
        continue;
      }
      switch (c->kind) {
      case 1:
      case 5:
      case 6:
        http(c);
        break;
      case 2:{
          off_t o = 0;
          ssize_t r = sendfile(c->fd, memfd_, &o, BIG);
          if (r < 0 && errno != EAGAIN)
            drop(c);
          break;
        }
      case 3:{
          ssize_t r = recv(c->fd, NULL, 1 << 20, MSG_TRUNC);
          if (r == 0 || (r < 0 && errno != EAGAIN))
            drop(c);
          break;
        }
      case 4:{
          ssize_t r = read(c->fd, c->in, 16384);
          if (r == 0 || (r < 0 && errno != EAGAIN)) {
            drop(c);
            break;
          }
          if (r > 0 && write(c->fd, c->in, r) != r)
            drop(c);
          break;
        }
      }
    }
    send_events();
  }
}

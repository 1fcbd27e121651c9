/* lg - load generator for the bench: one thread, epoll, OpenSSL 3. compare.ts compiles and runs it:
 *   cc -O2 -o lg lg.c -lssl -lcrypto
 *   lg -m MODE -x PROXYPORT -t TARGET:PORT [options]
 *
 * MODE  tunnel  CONNECT, 200, closed; with -e also 32 bytes there and back
 *       pull    bulk bytes from the target through -c tunnels        push  to the target
 *       http    -c connections: CONNECT, TLS, requests back to back
 *       hs      CONNECT, TLS handshake, one request, closed, for every operation
 *       ws      -c connections: CONNECT, TLS, an upgrade, then text messages of 125 bytes, one at a time, to an echo
 *       sse     -c connections: CONNECT, TLS, streams of events that hold the time of their writing
 *       h2      -c connections: CONNECT, TLS with ALPN h2, -S streams at once on each
 *       idle    opens -c tunnels, holds them for -d seconds, prints by how much the -p processes grew
 *
 * -c connections  -d seconds  -w warm-up seconds  -x [host:]port of the proxy  -t host:port to reach
 * -s SNI  -u path  -a value of Authorization  -b bytes of a POST body  -k requests on a connection
 * -D no CONNECT (a reverse proxy, or the upstream itself)  -N no TLS inside  -r resume the last session
 * -n operations, then it ends (and the peak of the memory is told)  -M, -E how a message begins, and its echo
 * -e echo  -l close with RST  -3 1.2  TLS 1.2 at most
 * -p pid,pid,..  processes whose processor time (all threads, ended ones too) and memory are told
 *
 * Prints one line of JSON. It stops by itself after -w + -d seconds, idle mode 30 seconds later at most.
 * The proxy's certificate is not verified: this is load, not a client to learn from. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
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
#include "h2.h"
#include "head.h"
#include "words.h"

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *s) {
  perror(s);
  exit(1);
}

enum { M_TUNNEL, M_PULL, M_PUSH, M_HTTP, M_HS, M_WS, M_SSE, M_H2, M_IDLE };
enum { S_CONN, S_CONNECT, S_TLS, S_WRITE, S_READ, S_ECHO, S_BULK, S_WS, S_H2, S_IDLE };
/* One connection, used again for the next operation once it has closed. */
typedef struct {
  int fd, st;
  uint32_t ev;  /* events epoll watches; 0: not registered */
  SSL *ssl;
  SSL_SESSION *sess;  /* for -r */
  uint64_t t0;  /* when the operation began, ns */
  size_t woff;  /* bytes of the request sent */
  uint64_t reqs;  /* answers on this connection */
  char in[17000];  /* answer head, or a piece of body */
  size_t inlen;
  int inbody, chunked, must_close;
  int64_t left;  /* body bytes to come; below 0: not known */
  int cst;  /* place in a chunked body */
  size_t crem;  /* bytes left of a chunk */
  int status;
  int events;  /* events of this stream so far */
  size_t linelen;
  char line[40];  /* the begin of a line of events */
  h2_conn *h2;
} conn;

/* options */
static int mode, C = 16, direct, echo, resume, h_ka_max, use_tls = 1, linger0;
static double D = 3, W = 0.5;
static const char *mode_name = "http", *max_tls;
static char proxy_host[64] = "127.0.0.1", target[256] = "127.0.0.1:7001", sni[256], pathq[256] = "/1024";
static char auth[256] = "Bearer PLACEHOLDER";
static int proxy_port = 8080;
static size_t body, streams = 8;
static uint64_t max_ops;
static const char *msg_begin = "", *echo_begin;
static int pids[256], npids;

/* what is sent: made once */
static struct sockaddr_in pa;
static char *reqbuf, conreq[600];
static size_t reqlen, conreqlen;
static int memfd_;
static size_t MEMSZ = 1 << 20;
static char *mem;
#define BODY_INLINE 65536       /* a longer body is sent from `mem` */
#define MESSAGE 125
static char frame[6 + MESSAGE], echo_frame[4 + MESSAGE + 256];
static size_t echo_len;

/* state and counts */
static int ep, measuring, stop_all, idle_ready;
static SSL_CTX *ctx;
static uint64_t n_ok, n_err, n_hs, n_resumed, n_bytes, n_bad;
static uint32_t *lat;           /* latencies, units of 0.1 us */
static size_t nlat, caplat = 8u << 20;
static uint32_t lat1[1 << 20];  /* of the first events of streams */
static size_t nlat1;
static int err_first;           /* only the first error is told in words */
static char err_txt[200];

/* One latency. */
static void rec(uint64_t dt) {
  if (measuring && nlat < caplat)
    lat[nlat++] = (uint32_t) (dt / 100);        /* 0.1us */
}

/* Watches c for these events. */
static void set_ev(conn *c, uint32_t ev) {
  if (c->ev == ev)
    return;
  struct epoll_event e = {.events = ev,.data.ptr = c };
  if (epoll_ctl(ep, c->ev ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e))
    die("epoll_ctl");
  c->ev = ev;
}

static void step(conn *c);
static void begin_h2(conn *c);
/* Begins an operation: a new TCP connection. */
static void start(conn *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0)
    die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (linger0) {
    struct linger l = { 1, 0 };
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  }
  c->ev = 0;
  c->inlen = 0;
  c->woff = 0;
  c->inbody = 0;
  c->reqs = 0;
  c->must_close = 0;
  c->t0 = now_ns();
  c->st = S_CONN;
  if (connect(c->fd, (void *) &pa, sizeof pa) && errno != EINPROGRESS) {
    n_err++;
    if (!err_first++)
      snprintf(err_txt, 200, "connect: %s", strerror(errno));
    close(c->fd);
    c->fd = -1;
    return;
  }
  set_ev(c, EPOLLOUT);
}

/* Ends a connection and begins the next one. */
static void finish(conn *c, int ok) {
  if (!ok)
    n_err++;
  if (c->ssl) {
    if (ok)
      SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    c->ssl = NULL;
    ERR_clear_error();
  }
  free(c->h2);
  c->h2 = NULL;
  close(c->fd);
  c->fd = -1;
  if (!stop_all)
    start(c);
}

/* Ends a connection that went wrong; keeps the first error in words. */
static void fail(conn *c, const char *why) {
  if (!err_first++) {
    snprintf(err_txt, 200, "%s st=%d errno=%s ssl=%s in=%.80s", why, c->st, strerror(errno),
             ERR_reason_error_string(ERR_peek_error())? : "",
             c->inlen ? (c->in[c->inlen < 16999 ? c->inlen : 16999] = 0, c->in) : "");
  }
  finish(c, 0);
}

/* Keeps a session for -r. */
static int new_sess(SSL *s, SSL_SESSION *ss) {
  conn *c = SSL_get_app_data(s);
  if (c->sess)
    SSL_SESSION_free(c->sess);
  c->sess = ss;
  return 1;
}

/* The tunnel stands: what the mode does in it. */
static void begin_payload(conn *c) {
  if (mode == M_TUNNEL) {
    if (echo) {
      if (write(c->fd, conreq, 32) != 32) {
        fail(c, "echo w");
        return;
      }
      c->st = S_ECHO;
      c->inlen = 0;
      set_ev(c, EPOLLIN);
      return;
    }
    rec(now_ns() - c->t0);
    if (measuring)
      n_ok++;
    finish(c, 1);
    return;
  }
  if (mode == M_IDLE && !use_tls) {
    c->st = S_IDLE;
    idle_ready++;
    set_ev(c, EPOLLIN | EPOLLRDHUP);
    return;
  }
  if (mode == M_PULL) {
    c->st = S_BULK;
    set_ev(c, EPOLLIN);
    return;
  }
  if (mode == M_PUSH) {
    c->st = S_BULK;
    set_ev(c, EPOLLOUT);
    return;
  }
  if (!use_tls) {
    c->st = S_WRITE;
    c->woff = 0;
    c->t0 = mode == M_HTTP ? now_ns() : c->t0;
    step(c);
    return;
  }
  c->ssl = SSL_new(ctx);
  SSL_set_app_data(c->ssl, c);
  SSL_set_fd(c->ssl, c->fd);
  if (*sni)
    SSL_set_tlsext_host_name(c->ssl, sni);
  if (resume && c->sess)
    SSL_set_session(c->ssl, c->sess);
  c->st = S_TLS;
  step(c);
}

/* Above 0: bytes read; 0: the end; -1: later; -2: an error. */
static int64_t rd(conn *c, void *b, size_t n) {
  if (c->ssl) {
    int r = SSL_read(c->ssl, b, n);
    if (r > 0)
      return r;
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ) {
      set_ev(c, EPOLLIN);
      return -1;
    }
    if (e == SSL_ERROR_WANT_WRITE) {
      set_ev(c, EPOLLOUT);
      return -1;
    }
    if (e == SSL_ERROR_ZERO_RETURN)
      return 0;
    return -2;
  }
  ssize_t r = read(c->fd, b, n);
  if (r > 0)
    return r;
  if (r == 0)
    return 0;
  if (errno == EAGAIN) {
    set_ev(c, EPOLLIN);
    return -1;
  }
  return -2;
}

/* An answer is complete. */
static void resp_done(conn *c) {
  uint64_t t = now_ns();
  if (mode != M_SSE)
    rec(t - c->t0);
  else if (c->status == 200 && !c->events)
    c->status = 204;
  c->events = 0;
  if (c->status == 200) {
    if (measuring && mode != M_SSE)
      n_ok++;
  }
  else {
    n_bad++;
    if (!err_first++)
      snprintf(err_txt, 200, "status %d", c->status);
  }
  c->reqs++;
  c->inbody = 0;
  c->inlen = 0;
  if (mode == M_IDLE) {
    c->st = S_IDLE;
    idle_ready++;
    set_ev(c, EPOLLIN | EPOLLRDHUP);
    return;
  }
  if (mode == M_HS || c->must_close || (h_ka_max && c->reqs >= (uint64_t) h_ka_max)) {
    finish(c, 1);
    return;
  }
  c->st = S_WRITE;
  c->woff = 0;
  c->t0 = t;
  step(c);
}

/* A line of a stream of events: "data: TIME ..." tells the delay. */
static void on_event_line(conn *c) {
  if (c->linelen < 26 || memcmp(c->line, "data: ", 6))
    return;
  c->line[26] = 0;
  uint64_t dt = now_ns() - strtoull(c->line + 6, 0, 10);
  if (measuring) {
    n_ok++;
    if (c->events)
      rec(dt);
    else if (nlat1 < sizeof lat1 / sizeof *lat1)
      lat1[nlat1++] = dt / 100;
  }
  c->events++;
}

static void eat_events(conn *c, const char *p, size_t n) {
  for (; n; p++, n--)
    if (*p == '\n') {
      on_event_line(c);
      c->linelen = 0;
    }
    else if (c->linelen < sizeof c->line)
      c->line[c->linelen++] = *p;
}

/* Takes n body bytes at p; 1 when the message has ended. */
static int eat(conn *c, const char *p, size_t n) {
  if (measuring)
    n_bytes += n;
  if (!c->chunked) {
    c->left -= n;
    return c->left <= 0;
  }
  while (n) {
    switch (c->cst) {
    case 0:{
        char ch = *p++;
        n--;
        if (ch == '\n') {
          if (c->crem == 0)
            c->cst = 3;
          else
            c->cst = 1;
        }
        else if (ch != '\r' && ch != ';') {
          int v = ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10;
          c->crem = c->crem * 16 + v;
        }
        break;
      }
    case 1:{
        size_t k = n < c->crem ? n : c->crem;
        if (mode == M_SSE)
          eat_events(c, p, k);
        p += k;
        n -= k;
        c->crem -= k;
        if (!c->crem)
          c->cst = 2;
        break;
      }
    case 2:{
        char ch = *p++;
        n--;
        if (ch == '\n') {
          c->cst = 0;
          c->crem = 0;
        }
        break;
      }
    case 3:{
        char ch = *p++;
        n--;
        if (ch == '\n')
          return 1;
        if (ch != '\r')
          c->cst = 4;
        break;
      }
    case 4:{
        char ch = *p++;
        n--;
        if (ch == '\n')
          c->cst = 3;
        break;
      }
    }
  }
  return 0;
}

/* The TCP connection stands or failed: ask for the tunnel, unless the target is reached directly. */
static void on_connected(conn *c) {
  int e = 0;
  socklen_t l = sizeof e;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
  if (e) {
    errno = e;
    fail(c, "connect");
    return;
  }
  if (direct) {
    begin_payload(c);
    return;
  }
  if (write(c->fd, conreq, conreqlen) != (ssize_t) conreqlen) {
    fail(c, "write CONNECT");
    return;
  }
  c->st = S_CONNECT;
  c->inlen = 0;
  set_ev(c, EPOLLIN);
}

/* The answer to CONNECT. */
static void on_connect_reply(conn *c) {
  ssize_t r = read(c->fd, c->in + c->inlen, 4000 - c->inlen);
  if (r <= 0) {
    if (r < 0 && errno == EAGAIN)
      return;
    fail(c, "CONNECT read");
    return;
  }
  c->inlen += r;
  c->in[c->inlen] = 0;
  if (!memmem(c->in, c->inlen, "\r\n\r\n", 4)) {
    if (c->inlen >= 4000)
      fail(c, "CONNECT head");
    return;
  }
  if (c->inlen < 12 || memcmp(c->in + 9, "200", 3)) {
    fail(c, "CONNECT status");
    return;
  }
  begin_payload(c);
}

/* The 32 bytes come back. */
static void on_echo(conn *c) {
  ssize_t r = read(c->fd, c->in + c->inlen, 64);
  if (r <= 0) {
    if (r < 0 && errno == EAGAIN)
      return;
    fail(c, "echo read");
    return;
  }
  c->inlen += r;
  if (c->inlen < 32)
    return;
  rec(now_ns() - c->t0);
  if (measuring)
    n_ok++;
  finish(c, 1);
}

/* A step of the TLS handshake inside the tunnel. */
static void on_handshake(conn *c) {
  int r = SSL_connect(c->ssl);
  if (r == 1) {
    if (measuring) {
      n_hs++;
      if (SSL_session_reused(c->ssl))
        n_resumed++;
    }
    if (mode == M_H2) {
      c->inlen = 0;
      begin_h2(c);
      return;
    }
    c->st = S_WRITE;
    c->woff = 0;
    if (mode == M_HTTP)
      c->t0 = now_ns();
    step(c);
    return;
  }
  int e = SSL_get_error(c->ssl, r);
  if (e == SSL_ERROR_WANT_READ)
    set_ev(c, EPOLLIN);
  else if (e == SSL_ERROR_WANT_WRITE)
    set_ev(c, EPOLLOUT);
  else
    fail(c, "TLS handshake");
}

/* Sends the request, in records of at most 16 KB. */
static void on_writable(conn *c) {
  for (int spin = 0; c->woff < reqlen; spin++) {
    ssize_t r;
    if (spin == 256) {
      set_ev(c, EPOLLOUT);
      return;
    }
    size_t k = reqlen - c->woff;
    const char *from = reqbuf + c->woff;
    if (body > BODY_INLINE && c->woff >= reqlen - body) {
      from = mem;
      if (k > MEMSZ)
        k = MEMSZ;
    }
    else if (body > BODY_INLINE)
      k -= body;
    if (c->ssl) {
      if (k > 16384)
        k = 16384;
      r = SSL_write(c->ssl, from, k);
      if (r <= 0) {
        int e = SSL_get_error(c->ssl, r);
        if (e == SSL_ERROR_WANT_WRITE) {
          set_ev(c, EPOLLOUT);
          return;
        }
        if (e == SSL_ERROR_WANT_READ) {
          set_ev(c, EPOLLIN);
          return;
        }
        fail(c, "SSL_write");
        return;
      }
    }
    else {
      r = write(c->fd, from, k);
      if (r < 0) {
        if (errno == EAGAIN) {
          set_ev(c, EPOLLOUT);
          return;
        }
        fail(c, "write");
        return;
      }
    }
    c->woff += r;
    if (measuring && from == mem)
      n_bytes += r;
  }
  c->st = S_READ;
  c->inlen = 0;
  c->inbody = 0;
  set_ev(c, EPOLLIN);
}

/* Writes all of p at once; 0 when it does not go. What is written this way fits any socket buffer. */
static int put(conn *c, const void *p, size_t n) {
  return (c->ssl ? SSL_write(c->ssl, p, n) : write(c->fd, p, n)) == (ssize_t) n;
}

/* Sends a message and waits for its echo. */
static void next_message(conn *c) {
  c->st = S_WS;
  c->inlen = 0;
  c->t0 = now_ns();
  if (!put(c, frame, sizeof frame)) {
    fail(c, "message");
    return;
  }
  set_ev(c, EPOLLIN);
}

/* The echo, byte for byte. */
static void on_message(conn *c) {
  for (;;) {
    int64_t r = rd(c, c->in + c->inlen, 16000 - c->inlen);
    if (r == -1)
      return;
    if (r <= 0) {
      fail(c, "echo");
      return;
    }
    c->inlen += r;
    if (c->inlen < echo_len)
      continue;
    if (c->inlen > echo_len || memcmp(c->in, echo_frame, echo_len)) {
      n_bad++;
      fail(c, "wrong echo");
      return;
    }
    rec(now_ns() - c->t0);
    if (measuring)
      n_ok++;
    next_message(c);
  }
}

/* Begins streams up to -S at once. */
static void fill_streams(conn *c) {
  char out[16384];
  size_t n = 0;
  while (h2_room(c->h2, streams) && n + H2_MAX_REQUEST < sizeof out)
    n += h2_request(c->h2, out + n, now_ns());
  if (n && !put(c, out, n))
    fail(c, "requests");
}

/* ALPN said h2: preface, settings, requests. */
static void begin_h2(conn *c) {
  const unsigned char *alpn;
  unsigned len;
  SSL_get0_alpn_selected(c->ssl, &alpn, &len);
  if (len != 2 || memcmp(alpn, "h2", 2)) {
    fail(c, "no h2");
    return;
  }
  char out[256];
  c->st = S_H2;
  c->h2 = calloc(1, sizeof *c->h2);
  set_ev(c, EPOLLIN);
  if (!put(c, out, h2_preface(out))) {
    fail(c, "preface");
    return;
  }
  fill_streams(c);
}

static void h2_answered(int status, uint64_t t0) {
  rec(now_ns() - t0);
  if (status != 200)
    n_bad++;
  else if (measuring)
    n_ok++;
}

/* Frames of the other side. */
static void on_h2(conn *c) {
  for (int spin = 0; spin < 16; spin++) {
    int64_t r = rd(c, c->in + c->inlen, 16384 - c->inlen);
    if (r == -1)
      return;
    if (r <= 0) {
      fail(c, "h2 read");
      return;
    }
    c->inlen += r;
    char out[1024];
    size_t n = 0;
    uint64_t seen = c->h2->body;
    int64_t used = h2_feed(c->h2, c->in, c->inlen, out, sizeof out, &n, h2_answered);
    if (used < 0 || (n && !put(c, out, n))) {
      c->inlen = 0;
      fail(c, used < 0 ? c->h2->why : "h2 write");
      return;
    }
    if (measuring)
      n_bytes += c->h2->body - seen;
    memmove(c->in, c->in + used, c->inlen - used);
    c->inlen -= used;
    fill_streams(c);
    if (c->st != S_H2)
      return;
  }
}

/* Reads an answer: head, then body by its framing. At most 64 reads a turn: none starves the rest. */
static void on_response(conn *c) {
  for (int spin = 0; spin < 64; spin++) {
    int64_t r;
    if (!c->inbody) {
      r = rd(c, c->in + c->inlen, 16400 - c->inlen);
      if (r == -1)
        return;
      if (r <= 0) {
        if (r == 0 && c->inlen == 0 && c->reqs > 0) {
          finish(c, 1);
          return;
        }
        fail(c, "resp read");
        return;
      }
      c->inlen += r;
      c->in[c->inlen] = 0;
      char *e = memmem(c->in, c->inlen, "\r\n\r\n", 4);
      if (!e) {
        if (c->inlen >= 16400) {
          fail(c, "head too big");
          return;
        }
        continue;
      }
      *(e + 2) = 0;
      c->status = atoi(c->in + 9);
      if (mode == M_WS) {
        if (c->status != 101 || e + 4 != c->in + c->inlen) {
          n_bad++;
          fail(c, "upgrade");
          return;
        }
        next_message(c);
        return;
      }
      char *h = find_hdr(c->in, "content-length");
      c->chunked = 0;
      c->left = -1;
      c->cst = 0;
      c->crem = 0;
      if (h)
        c->left = atoll(h);
      else if ((h = find_hdr(c->in, "transfer-encoding")))
        c->chunked = 1;
      else {
        fail(c, "no framing");
        return;
      }
      h = find_hdr(c->in, "connection");
      if (h && !strncasecmp(h, "close", 5))
        c->must_close = 1;
      c->inbody = 1;
      size_t off = e + 4 - c->in;
      if ((!c->chunked && c->left == 0) || (c->inlen > off && eat(c, c->in + off, c->inlen - off))) {
        resp_done(c);
        return;
      }
    }
    else {
      r = rd(c, c->in, 16384);
      if (r == -1)
        return;
      if (r <= 0) {
        fail(c, "body read");
        return;
      }
      if (eat(c, c->in, r)) {
        resp_done(c);
        return;
      }
    }
  }
}

/* Moves bulk bytes without copying them: MSG_TRUNC drops what comes, sendfile sends what the kernel holds. */
static void on_bulk(conn *c) {
  if (mode == M_PULL) {
    ssize_t r = recv(c->fd, NULL, 1 << 20, MSG_TRUNC);
    if (r <= 0) {
      if (r < 0 && errno == EAGAIN)
        return;
      fail(c, "pull");
      return;
    }
    if (measuring)
      n_bytes += r;
  }
  else {
    off_t o = 0;
    ssize_t r = sendfile(c->fd, memfd_, &o, MEMSZ);
    if (r < 0) {
      if (errno == EAGAIN)
        return;
      fail(c, "push");
      return;
    }
    if (measuring)
      n_bytes += r;
  }
}

/* Nothing should come here but session tickets; an end is an error. */
static void on_idle(conn *c) {
  char b[4096];
  int64_t r = rd(c, b, sizeof b);
  if (r == 0 || r == -2) {
    n_err++;
    if (!err_first++)
      snprintf(err_txt, 200, "idle closed");
    close(c->fd);
    c->fd = -1;
  }
}

/* Goes on with a connection that epoll says is ready. */
static void step(conn *c) {
  switch (c->st) {
  case S_CONN:
    on_connected(c);
    break;
  case S_CONNECT:
    on_connect_reply(c);
    break;
  case S_ECHO:
    on_echo(c);
    break;
  case S_TLS:
    on_handshake(c);
    break;
  case S_WRITE:
    on_writable(c);
    break;
  case S_READ:
    on_response(c);
    break;
  case S_BULK:
    on_bulk(c);
    break;
  case S_WS:
    on_message(c);
    break;
  case S_H2:
    on_h2(c);
    break;
  case S_IDLE:
    on_idle(c);
    break;
  }
}

/* Processor time of the -p processes; a process clock includes threads that have ended. */
static uint64_t cpu_ns(void) {
  uint64_t tot = 0;
  for (int i = 0; i < npids; i++) {
    clockid_t id;
    struct timespec t;
    if (clock_getcpuclockid(pids[i], &id) == 0 && clock_gettime(id, &t) == 0)
      tot += t.tv_sec * 1000000000ull + t.tv_nsec;
  }
  return tot;
}

/* Resident memory of the -p processes; "VmHWM:" is the peak of it. */
static long memory_kb(const char *name) {
  long tot = 0;
  for (int i = 0; i < npids; i++) {
    char f[64], l[200];
    snprintf(f, 64, "/proc/%d/status", pids[i]);
    FILE *fp = fopen(f, "r");
    if (!fp)
      continue;
    while (fgets(l, 200, fp))
      if (!strncmp(l, name, strlen(name)))
        tot += atol(l + strlen(name));
    fclose(fp);
  }
  return tot;
}

static long rss_kb(void) {
  return memory_kb("VmRSS:");
}

/* From here on the peak counts (proc(5), clear_refs); where that is not allowed it counts from the start. */
static void reset_peak(void) {
  for (int i = 0; i < npids; i++) {
    char f[64];
    snprintf(f, 64, "/proc/%d/clear_refs", pids[i]);
    FILE *fp = fopen(f, "w");
    if (!fp)
      continue;
    fputs("5", fp);
    fclose(fp);
  }
}

static int cmp(const void *a, const void *b) {
  uint32_t x = *(uint32_t *) a, y = *(uint32_t *) b;
  return x < y ? -1 : x > y;
}

/* A percentile of n sorted latencies, in ms. */
static double pct(const uint32_t *of, size_t n, double p) {
  if (!n)
    return 0;
  size_t i = (size_t) (p * (n - 1));
  return of[i] / 10000.0;
}

/* Reads the options; 0 on wrong use. */
static int read_options(int ac, char **av) {
  int o;
  while ((o = getopt(ac, av, "m:c:d:w:x:t:s:u:a:b:p:Derk:Nl3:n:M:E:S:")) != -1)
    switch (o) {
    case 'm':
      mode_name = optarg;
      break;
    case 'c':
      C = atoi(optarg);
      break;
    case 'd':
      D = atof(optarg);
      break;
    case 'w':
      W = atof(optarg);
      break;
    case 'x':{
        char *q = strrchr(optarg, ':');
        if (q) {
          *q = 0;
          snprintf(proxy_host, sizeof proxy_host, "%s", optarg);
          proxy_port = atoi(q + 1);
        }
        else
          proxy_port = atoi(optarg);
        break;
      }
    case 't':
      snprintf(target, 256, "%s", optarg);
      break;
    case 's':
      snprintf(sni, 256, "%s", optarg);
      break;
    case 'u':
      snprintf(pathq, 256, "%s", optarg);
      break;
    case 'a':
      snprintf(auth, 256, "%s", optarg);
      break;
    case 'b':
      body = atol(optarg);
      break;
    case 'n':
      max_ops = strtoull(optarg, 0, 10);
      break;
    case 'M':
      msg_begin = optarg;
      break;
    case 'E':
      echo_begin = optarg;
      break;
    case 'S':
      streams = atol(optarg);
      break;
    case 'D':
      direct = 1;
      break;
    case 'e':
      echo = 1;
      break;
    case 'r':
      resume = 1;
      break;
    case 'k':
      h_ka_max = atoi(optarg);
      break;
    case 'N':
      use_tls = 0;
      break;
    case 'l':
      linger0 = 1;
      break;
    case '3':
      max_tls = optarg;
      break;
    case 'p':{
        char *s = strtok(optarg, ",");
        while (s && npids < 256) {
          pids[npids++] = atoi(s);
          s = strtok(NULL, ",");
        }
        break;
      }
    default:
      return 0;
    }
  static const char *const names[] = { "tunnel", "pull", "push", "http", "hs", "ws", "sse", "h2", "idle" };  /* as the enum */
  for (mode = 0; mode <= M_IDLE; mode++)
    if (!strcmp(mode_name, names[mode]))
      return 1;
  return 0;
}

/* The message as a masked frame, and the frame that must come back: -M and -E with the same bytes behind them. */
static void make_message(void) {
  static const unsigned char mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
  char text[MESSAGE];
  size_t begin = strlen(msg_begin), at = 2;
  if (begin > MESSAGE)
    begin = MESSAGE;
  memset(text, 'm', MESSAGE);
  memcpy(text, msg_begin, begin);
  frame[0] = (char) 0x81;
  frame[1] = (char) (0x80 | MESSAGE);
  memcpy(frame + 2, mask, 4);
  for (int i = 0; i < MESSAGE; i++)
    frame[6 + i] = text[i] ^ mask[i & 3];
  const char *as = echo_begin ? echo_begin : msg_begin;
  size_t back = strlen(as) + MESSAGE - begin;
  echo_frame[0] = (char) 0x81;
  echo_frame[1] = (char) (back < 126 ? back : 126);
  if (back >= 126) {
    echo_frame[2] = (char) (back >> 8);
    echo_frame[3] = (char) back;
    at = 4;
  }
  memcpy(echo_frame + at, as, strlen(as));
  memcpy(echo_frame + at + strlen(as), text + begin, MESSAGE - begin);
  echo_len = at + back;
}

/* Makes what is sent and what it is sent with. */
static void set_up(void) {
  struct rlimit rl = { 200000, 200000 };
  setrlimit(RLIMIT_NOFILE, &rl);
  pa.sin_family = AF_INET;
  pa.sin_port = htons(proxy_port);
  inet_pton(AF_INET, proxy_host, &pa.sin_addr);
  conreqlen =
      snprintf(conreq, 600,
               "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: lg\r\nProxy-Connection: keep-alive\r\n\r\n",
               target, target);
  reqbuf = malloc(2000 + BODY_INLINE);
  char cl[96] = "";
  static const char upgrade[] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  if (body)
    snprintf(cl, sizeof cl, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body);
  reqlen =
      snprintf(reqbuf, 2000,
               "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: lg/1.0\r\nAccept: */*\r\n"
               "Accept-Encoding: identity\r\nX-Trace: 0123456789abcdef\r\nAuthorization: %s\r\n%s\r\n",
               body ? "POST" : "GET", pathq, target, auth, mode == M_WS ? upgrade : cl);
  if (body && body <= BODY_INLINE)
    fill_json(reqbuf + reqlen, body);
  reqlen += body;
  if (mode == M_WS)
    make_message();
  h2_prepare(target, pathq, auth);
  lat = malloc(caplat * 4);
  memset(lat, 0, caplat * 4);
  memfd_ = memfd_create("z", 0);
  if (ftruncate(memfd_, MEMSZ))
    die("ftruncate");
  mem = mmap(0, MEMSZ, PROT_WRITE | PROT_READ, MAP_SHARED, memfd_, 0);
  memset(mem, 'b', MEMSZ);
  ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (max_tls && !strcmp(max_tls, "1.2"))
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  if (resume)
    SSL_CTX_sess_set_new_cb(ctx, new_sess);
  else
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (mode == M_H2)
    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *) "\2h2", 3);
  SSL_CTX_set1_groups_list(ctx, "X25519:P-256");
  ep = epoll_create1(EPOLL_CLOEXEC);
}

int main(int ac, char **av) {
  signal(SIGPIPE, SIG_IGN);
  if (!read_options(ac, av)) {
    fprintf(stderr, "lg: wrong options, see the head of lg.c\n");
    return 2;
  }
  set_up();
  conn *cs = calloc(C, sizeof *cs);
  for (int i = 0; i < C; i++)
    cs[i].fd = -1;
  long rss0 = rss_kb();
  int started = 0;
  int batch = mode == M_IDLE ? 32 : C;
  uint64_t T0 = now_ns(), tm0 = 0, cpu0 = 0, self0 = 0;
  struct epoll_event evs[512];
  uint64_t tend = T0 + (uint64_t) ((D + W + (mode == M_IDLE ? 30 : 0)) * 1e9);
  int idle_phase = 0;
  uint64_t idle_t = 0;
  struct timespec ts;
  for (;;) {
    uint64_t t = now_ns();
    if (!measuring && mode != M_IDLE && t - T0 >= (uint64_t) (W * 1e9)) {
      measuring = 1;
      if (max_ops)
        reset_peak();
      tm0 = now_ns();
      cpu0 = cpu_ns();
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
      self0 = ts.tv_sec * 1000000000ull + ts.tv_nsec;
    }
    if (t >= tend || (max_ops && n_ok >= max_ops))
      break;
    if (mode == M_IDLE) {
      while (started < C && started - idle_ready < batch) {
        start(&cs[started]);
        started++;
      }
      if (idle_ready >= C && !idle_phase) {
        idle_phase = 1;
        idle_t = t;
        cpu0 = cpu_ns();
      }
      if (idle_phase && t - idle_t > (uint64_t) (D * 1e9))
        break;
    }
    else
      while (started < C) {
        start(&cs[started]);
        started++;
      }
    int n = epoll_wait(ep, evs, 512, 50);
    for (int i = 0; i < n; i++) {
      conn *c = evs[i].data.ptr;
      if (c->fd >= 0)
        step(c);
    }
    if (mode != M_IDLE)
      for (int i = 0; i < (n ? 0 : C); i++)
        if (cs[i].fd < 0)
          start(&cs[i]);
    if (n_err > (max_ops ? 20 : 20000))
      break;
  }
  if (!tm0) {
    tm0 = T0;
  }
  uint64_t t1 = now_ns(), cpu1 = cpu_ns();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  uint64_t self1 = ts.tv_sec * 1000000000ull + ts.tv_nsec;
  if (mode == M_IDLE) {
    printf("{\"mode\":\"idle\",\"n\":%d,\"ready\":%d,\"rss0_kb\":%ld,\"rss1_kb\":%ld,"
         "\"kb_per_1000\":%.0f,\"idle_cpu_pct\":%.2f,\"err\":%lu,\"e\":\"%s\"}\n",
         C, idle_ready, rss0, rss_kb(), (rss_kb() - rss0) * 1000.0 / (idle_ready ? : 1),
         idle_phase ? (cpu1 - cpu0) * 100.0 / (t1 - idle_t) : -1, n_err, err_txt);
    return 0;
  }
  double s = (t1 - tm0) / 1e9;
  qsort(lat, nlat, 4, cmp);
  qsort(lat1, nlat1, 4, cmp);
  uint64_t ops = n_ok;
  double pc = npids ? (cpu1 - cpu0) / 1e3 : 0;
  for (char *q = err_txt; *q; q++)
    if (*q < 32 || *q == '"' || *q == '\\')
      *q = '.';
  printf("{\"mode\":\"%s\",\"c\":%d,\"s\":%.2f,\"ok\":%lu,\"rate\":%.1f,\"p50_ms\":%.3f,"
         "\"p99_ms\":%.3f,\"gbs\":%.3f,\"err\":%lu,\"bad\":%lu,\"hs\":%lu,\"resumed\":%lu,"
         "\"pcpu\":%.3f,\"us_op\":%.2f,\"cpu_s_per_gb\":%.3f,\"lgcpu\":%.3f,\"rss_mb\":%.1f,"
         "\"want\":%lu,\"peak_mb\":%.1f,\"first_p50_ms\":%.3f,\"first_p99_ms\":%.3f,\"e\":\"%s\"}\n",
       mode_name, C, s, ops, ops / s, pct(lat, nlat, .5),
       pct(lat, nlat, .99), n_bytes / s / 1e9, n_err, n_bad, n_hs, n_resumed,
       pc / 1e6 / s, ops ? pc / ops : 0, n_bytes ? pc / 1e6 / (n_bytes / 1e9) : 0, (self1 - self0) / 1e9 / s,
       rss_kb() / 1024.0, max_ops, memory_kb("VmHWM:") / 1024.0, pct(lat1, nlat1, .5), pct(lat1, nlat1, .99), err_txt);
  return 0;
}

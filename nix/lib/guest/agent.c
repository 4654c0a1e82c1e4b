#define _GNU_SOURCE
/* The guest's agent: runs commands for the host and says how the guest is. It decides nothing and keeps nothing.
 *
 * It serves connections from the host: over AF_VSOCK (port 1024, from the host only) where the hypervisor has it, else over
 * the virtio-serial port `procurator.vsock`, on which several connections share one wire (see nix/lib/guest/README.md for
 * both formats). Each connection is one request and is served by a process of its own. Plain POSIX and Linux, static.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif
#define HOST_CID 2
#define GUEST_PORT 1024
#define MOST_PAYLOAD 65536
#define MOST_ARGS 256
#define MOST_CONNECTIONS 32
#define WINDOW 65536
#define CHUNK 8192
#define PORT_NAME "procurator.vsock"
#define READY_FILE "/run/procurator/ready"
#define PATH_VALUE "/run/current-system/sw/bin:/run/wrappers/bin:/bin:/usr/bin"

static const char MAGIC[16] = "procurator-mux-1";

struct vsock_address { /* struct sockaddr_vm of linux/vm_sockets.h */
  unsigned short family;
  unsigned short reserved;
  unsigned int port;
  unsigned int cid;
  unsigned char flags;
  unsigned char zero[3];
};

static uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(unsigned char *at, uint32_t value) {
  at[0] = value >> 24; at[1] = value >> 16; at[2] = value >> 8; at[3] = value;
}

static long now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static int write_all(int fd, const void *data, size_t size) {
  const char *at = data;
  while (size > 0) {
    ssize_t done = write(fd, at, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    at += done; size -= done;
  }
  return 0;
}

static int read_all(int fd, void *data, size_t size) {
  char *at = data;
  while (size > 0) {
    ssize_t done = read(fd, at, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    at += done; size -= done;
  }
  return 0;
}

/* ---- one connection: frames of a length (u32), a type (one byte) and a payload ---------------------------------------- */

static int send_frame(int fd, char type, const void *payload, uint32_t size) {
  unsigned char head[5];
  put32(head, size);
  head[4] = type;
  return write_all(fd, head, 5) || write_all(fd, payload, size) ? -1 : 0;
}

/* The type of the next frame, 0 at the end of the connection or for one that is too long. */
static char receive_frame(int fd, unsigned char *payload, uint32_t *size) {
  unsigned char head[5];
  if (read_all(fd, head, 5)) return 0;
  *size = get32(head);
  if (*size > MOST_PAYLOAD || read_all(fd, payload, *size)) return 0;
  return head[4];
}

static int send_text(int fd, char type, const char *text) { return send_frame(fd, type, text, strlen(text)); }

static void send_end(int fd, int32_t code, int timed_out) {
  unsigned char payload[5];
  put32(payload, (uint32_t)code);
  payload[4] = timed_out;
  send_frame(fd, 'x', payload, 5);
}

/* Argument vector of an 'E' request: u32 deadline in ms (0: none), then strings that end with NUL. */
static int parse_arguments(unsigned char *payload, uint32_t size, char **arguments) {
  int count = 0;
  uint32_t at = 4;
  if (size < 6 || payload[size - 1] != 0) return 0;
  while (at < size && count < MOST_ARGS) {
    arguments[count++] = (char *)payload + at;
    at += strlen((char *)payload + at) + 1;
  }
  arguments[count] = NULL;
  return at >= size ? count : 0;
}

static void become_command(char **arguments, int in, int out, int err) {
  char *environment[] = {"PATH=" PATH_VALUE, "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", NULL};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  dup2(in, 0); dup2(out, 1); dup2(err, 2);
  for (int fd = 3; fd < 256; fd++) close(fd);
  if (chdir("/root") && chdir("/")) _exit(126);
  setenv("PATH", PATH_VALUE, 1);
  execvpe(arguments[0], arguments, environment);
  dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

/* Moves bytes between the connection and the command until the command has ended and said all. */
static void run_command(int fd, unsigned char *payload, uint32_t size) {
  static char *arguments[MOST_ARGS + 1];
  static unsigned char buffer[MOST_PAYLOAD];
  static unsigned char held[MOST_PAYLOAD]; /* input that the command has not taken yet */
  uint32_t held_at = 0, held_end = 0;
  int in[2], out[2], err[2], timed_out = 0, status = 0, input_open = 1, ended = 0;
  long deadline = get32(payload) ? now_ms() + get32(payload) : 0;
  if (!parse_arguments(payload, size, arguments)) { send_text(fd, '!', "no command, or too many arguments"); return; }
  if (pipe(in) || pipe(out) || pipe(err)) { send_text(fd, '!', strerror(errno)); return; }
  pid_t child = fork();
  if (child < 0) { send_text(fd, '!', strerror(errno)); return; }
  if (child == 0) { close(fd); become_command(arguments, in[0], out[1], err[1]); }
  close(in[0]); close(out[1]); close(err[1]);
  fcntl(in[1], F_SETFL, O_NONBLOCK); /* a command that writes before it reads must not wait for us */
  int sources[2] = {out[0], err[0]}, left_over[2] = {0, 0};
  while (sources[0] >= 0 || sources[1] >= 0) {
    int is_holding = input_open && held_at < held_end;
    struct pollfd wait[4] = {{is_holding ? -1 : fd, POLLIN, 0}, {sources[0], POLLIN, 0}, {sources[1], POLLIN, 0},
                             {is_holding ? in[1] : -1, POLLOUT, 0}};
    long left = deadline ? deadline - now_ms() : 1000;
    if (deadline && left <= 0 && !timed_out) { timed_out = 1; kill(-child, SIGKILL); kill(child, SIGKILL); }
    /* What the command left running may hold its pipes, and fill them: what was said up to its own end is what counts. */
    if (!ended && waitpid(child, &status, WNOHANG) == child) {
      ended = 1;
      for (int each = 0; each < 2; each++)
        if (sources[each] < 0 || ioctl(sources[each], FIONREAD, &left_over[each])) left_over[each] = 0;
    }
    if (ended && left_over[0] <= 0 && left_over[1] <= 0) break;
    int ready = poll(wait, 4, ended ? 50 : left > 200 || timed_out ? 200 : left < 1 ? 1 : (int)left);
    if (ended && ready == 0) break;
    if (wait[0].revents) {
      uint32_t got;
      char type = receive_frame(fd, buffer, &got);
      if (type == 'i' && input_open) { memcpy(held, buffer, got); held_at = 0; held_end = got; }
      if (type == 'c' && input_open) { close(in[1]); input_open = 0; }
      if (type == 0 || type == 'k') { kill(-child, SIGKILL); kill(child, SIGKILL); if (type == 0) _exit(0); }
    }
    if (input_open && held_at < held_end && (wait[3].revents || wait[0].revents)) {
      ssize_t done = write(in[1], held + held_at, held_end - held_at);
      if (done > 0) held_at += done;
      else if (done < 0 && errno != EAGAIN && errno != EINTR) { close(in[1]); input_open = 0; }
    }
    for (int each = 0; each < 2; each++) {
      if (sources[each] < 0 || !wait[each + 1].revents) continue;
      ssize_t got = read(sources[each], buffer, CHUNK);
      if (got > 0 && ended) left_over[each] -= got;
      if (got > 0) { if (send_frame(fd, each ? 'e' : 'o', buffer, got)) { kill(-child, SIGKILL); _exit(0); } }
      else if (got == 0 || errno != EINTR) { close(sources[each]); sources[each] = -1; }
    }
  }
  while (!ended) {
    long left = deadline ? deadline - now_ms() : 1;
    if (waitpid(child, &status, WNOHANG) == child) ended = 1;
    else if (deadline && left <= 0) { timed_out = 1; kill(-child, SIGKILL); kill(child, SIGKILL); usleep(5000); }
    else {
      struct pollfd wait = {fd, POLLIN, 0};
      uint32_t got;
      if (poll(&wait, 1, 20) > 0) {
        char type = receive_frame(fd, buffer, &got);
        if (type == 0 || type == 'k') kill(-child, SIGKILL);
        if (type == 0) _exit(0);
      }
    }
  }
  send_end(fd, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), timed_out);
}

static void link_text(const char *path, char *text, size_t size) {
  ssize_t got = readlink(path, text, size - 1);
  text[got > 0 ? got : 0] = 0;
  /* It goes into JSON as it is: a store path has none of these. */
  for (char *at = text; *at; at++) if (*at == '"' || *at == '\\' || (unsigned char)*at < 32) *at = '?';
}

static void send_facts(int fd) {
  char current[512], booted[512], boot_id[64] = "", text[2048];
  double uptime = 0, load = 0;
  struct stat ready;
  FILE *file;
  link_text("/run/current-system", current, sizeof current);
  link_text("/run/booted-system", booted, sizeof booted);
  if ((file = fopen("/proc/sys/kernel/random/boot_id", "r"))) { if (fscanf(file, "%36[0-9a-f-]", boot_id) != 1) boot_id[0] = 0; fclose(file); }
  if ((file = fopen("/proc/uptime", "r"))) { if (fscanf(file, "%lf", &uptime) != 1) uptime = 0; fclose(file); }
  if ((file = fopen("/proc/loadavg", "r"))) { if (fscanf(file, "%lf", &load) != 1) load = 0; fclose(file); }
  snprintf(text, sizeof text,
           "{\"protocol\":1,\"currentSystem\":\"%s\",\"bootedSystem\":\"%s\",\"bootId\":\"%s\",\"uptimeMs\":%.0f,\"load1\":%.2f,\"ready\":%s}",
           current, booted, boot_id, uptime * 1000, load, stat(READY_FILE, &ready) == 0 ? "true" : "false");
  send_text(fd, 'j', text);
}

static void serve(int fd) {
  static unsigned char payload[MOST_PAYLOAD + 1];
  uint32_t size;
  signal(SIGCHLD, SIG_DFL);
  char type = receive_frame(fd, payload, &size);
  if (type == 'E') run_command(fd, payload, size);
  else if (type == 'F') send_facts(fd);
  else if (type) send_text(fd, '!', "unknown request");
  shutdown(fd, SHUT_WR);
  _exit(0);
}

/* ---- over AF_VSOCK ----------------------------------------------------------------------------------------------------- */

static void serve_vsock(void) {
  struct vsock_address here = {AF_VSOCK, 0, GUEST_PORT, 0xffffffffu, 0, {0}}, peer;
  int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return;
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16)) { close(listener); return; }
  for (;;) {
    socklen_t size = sizeof peer;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd < 0) { if (errno == EINTR || errno == ECONNABORTED) continue; close(listener); return; }
    if (peer.cid == HOST_CID && fork() == 0) { close(listener); serve(fd); }
    close(fd);
  }
}

/* ---- several connections over one virtio-serial port ------------------------------------------------------------------ */

struct connection {
  int fd;                /* our end of its socket pair, -1: free */
  uint32_t id;
  uint32_t credit;       /* how much more the host takes */
  uint32_t consumed;     /* what we have taken and not told yet */
  int host_done, ours_done;
  unsigned char *held;   /* for its process, WINDOW bytes */
  uint32_t begin, end;
};

static struct connection connections[MOST_CONNECTIONS];
static int port_fd;

/* One frame: type, connection, length of the payload, payload. Blocking: the host always takes what it permitted. */
static int send_mux(char type, uint32_t id, const void *payload, uint32_t size) {
  unsigned char head[9];
  head[0] = type;
  put32(head + 1, id);
  put32(head + 5, size);
  return write_all(port_fd, head, 9) || write_all(port_fd, payload, size) ? -1 : 0;
}

static struct connection *find(uint32_t id) {
  for (int at = 0; at < MOST_CONNECTIONS; at++)
    if (connections[at].fd >= 0 && connections[at].id == id) return &connections[at];
  return NULL;
}

static void drop(struct connection *one) {
  close(one->fd);
  free(one->held);
  one->held = NULL;
  one->fd = -1;
}

static void open_connection(uint32_t id, uint32_t port) {
  int pair[2];
  struct connection *one = NULL;
  for (int at = 0; at < MOST_CONNECTIONS && !one; at++) if (connections[at].fd < 0) one = &connections[at];
  if (!one || port != GUEST_PORT || find(id) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
    send_mux('R', id, NULL, 0);
    return;
  }
  pid_t child = fork();
  if (child == 0) {
    for (int at = 0; at < MOST_CONNECTIONS; at++) if (connections[at].fd >= 0) close(connections[at].fd);
    close(port_fd);
    close(pair[0]);
    serve(pair[1]);
  }
  close(pair[1]);
  memset(one, 0, sizeof *one);
  one->held = child > 0 ? malloc(WINDOW) : NULL;
  one->fd = pair[0];
  one->id = id;
  one->credit = WINDOW;
  if (!one->held) { drop(one); send_mux('R', id, NULL, 0); return; }
  fcntl(one->fd, F_SETFL, O_NONBLOCK);
  send_mux('A', id, NULL, 0);
}

/* Hand on what is held for a connection's process; tell the host what room that made. */
static void hand_on(struct connection *one) {
  while (one->begin < one->end) {
    ssize_t done = write(one->fd, one->held + one->begin, one->end - one->begin);
    if (done < 0) { if (errno != EAGAIN) one->begin = one->end; break; }
    one->begin += done;
    one->consumed += done;
  }
  if (one->begin == one->end) {
    one->begin = one->end = 0;
    if (one->host_done == 1) { shutdown(one->fd, SHUT_WR); one->host_done = 2; }
    if (one->consumed >= WINDOW / 2) {
      unsigned char credit[4];
      put32(credit, one->consumed);
      send_mux('W', one->id, credit, 4);
      one->consumed = 0;
    }
  }
}

static void take_frame(char type, uint32_t id, unsigned char *payload, uint32_t size) {
  struct connection *one = find(id);
  if (type == 'O' && size == 4) { open_connection(id, get32(payload)); return; }
  if (!one) return;
  switch (type) {
  case 'D':
    if (one->end + size > WINDOW) { /* the host sent more than it may, or the room is at the front */
      memmove(one->held, one->held + one->begin, one->end - one->begin);
      one->end -= one->begin;
      one->begin = 0;
    }
    if (one->end + size > WINDOW) { send_mux('R', id, NULL, 0); drop(one); return; }
    memcpy(one->held + one->end, payload, size);
    one->end += size;
    hand_on(one);
    break;
  case 'W': if (size == 4) one->credit += get32(payload); break;
  case 'F': one->host_done = 1; hand_on(one); break;
  case 'R': drop(one); break;
  }
}

/* What a connection's process says goes to the host, as far as it may. */
static void take_words(struct connection *one) {
  static unsigned char buffer[CHUNK];
  uint32_t room = one->credit < CHUNK ? one->credit : CHUNK;
  if (room == 0) return; /* its end is seen when the host takes what comes before it */
  ssize_t got = read(one->fd, buffer, room);
  if (got > 0) { one->credit -= got; send_mux('D', one->id, buffer, got); }
  else if (got == 0) { send_mux('F', one->id, NULL, 0); drop(one); }
  else if (errno != EAGAIN && errno != EINTR) { send_mux('R', one->id, NULL, 0); drop(one); }
}

/* Say hello with a number used once, and throw away what an earlier agent was sent, until the host says the same. */
static int agree(void) {
  unsigned char hello[24], seen[24] = {0};
  int source = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  memcpy(hello, MAGIC, 16);
  if (source < 0 || read_all(source, hello + 16, 8)) return -1;
  close(source);
  if (send_mux('H', 0, hello, 24)) return -1;
  while (memcmp(seen, hello, 24)) {
    memmove(seen, seen + 1, 23);
    if (read_all(port_fd, seen + 23, 1)) return -1;
  }
  return 0;
}

static void serve_port(int descriptor) {
  static unsigned char wire[9 + MOST_PAYLOAD];
  uint32_t have = 0;
  port_fd = descriptor;
  if (port_fd < 0) return;
  for (int at = 0; at < MOST_CONNECTIONS; at++) connections[at].fd = -1;
  if (agree()) { close(port_fd); return; }
  for (;;) {
    struct pollfd wait[MOST_CONNECTIONS + 1] = {{port_fd, POLLIN, 0}};
    for (int at = 0; at < MOST_CONNECTIONS; at++) {
      struct connection *one = &connections[at];
      short events = (one->credit > 0 ? POLLIN : 0) | (one->begin < one->end ? POLLOUT : 0);
      wait[at + 1] = (struct pollfd){events ? one->fd : -1, events, 0};
    }
    if (poll(wait, MOST_CONNECTIONS + 1, -1) < 0) { if (errno == EINTR) continue; break; }
    if (wait[0].revents & POLLHUP && !(wait[0].revents & POLLIN)) break; /* nobody is at the other side */
    if (wait[0].revents & POLLIN) {
      ssize_t got = read(port_fd, wire + have, sizeof wire - have);
      if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) break;
      have += got > 0 ? got : 0;
      uint32_t at = 0;
      while (have - at >= 9) {
        uint32_t size = get32(wire + at + 5);
        if (size > MOST_PAYLOAD) goto lost;
        if (have - at < 9 + size) break;
        take_frame(wire[at], get32(wire + at + 1), wire + at + 9, size);
        at += 9 + size;
      }
      memmove(wire, wire + at, have - at);
      have -= at;
    }
    for (int at = 0; at < MOST_CONNECTIONS; at++) {
      struct connection *one = &connections[at];
      if (one->fd >= 0 && wait[at + 1].fd == one->fd) {
        if (wait[at + 1].revents & POLLOUT) hand_on(one);
        if (wait[at + 1].revents & (POLLIN | POLLHUP | POLLERR)) take_words(one);
      }
    }
  }
lost:
  for (int at = 0; at < MOST_CONNECTIONS; at++) if (connections[at].fd >= 0) drop(&connections[at]);
  close(port_fd);
}

/* The device of the port with our name, as sysfs has it. */
static int find_port(char *device, size_t size) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  int found = 0;
  if (!ports) return 0;
  while (!found && (entry = readdir(ports))) {
    char path[300], name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%.200s/name", entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(name, sizeof name, file)) name[strcspn(name, "\n")] = 0;
    fclose(file);
    if (strcmp(name, PORT_NAME) == 0) { snprintf(device, size, "/dev/%.200s", entry->d_name); found = 1; }
  }
  closedir(ports);
  return found;
}

/* `guest-agent FD`: serve one port that is open already, and end with it; as a test of both sides does. */
int main(int count, char **words) {
  char device[300];
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN); /* the processes of connections are nobody's concern once they have ended */
  if (count == 2) { serve_port(atoi(words[1])); return 0; }
  for (;;) { /* the drivers may come later than we do */
    if (find_port(device, sizeof device)) serve_port(open(device, O_RDWR | O_CLOEXEC));
    else serve_vsock();
    usleep(100000);
  }
}

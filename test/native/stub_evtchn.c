/*
 * /dev/xen/evtchn. Every number up to 63 is a port of domain 1 and of domain 2, and who connects to it is notified in
 * return whenever it notifies. What it binds for DOMID_SELF it may connect to itself. As in the kernel, a port that has
 * been read stays masked until it is written.
 *
 * Behind it is an eventfd that counts the ports to be read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "stub.h"

enum { PORTS = 4096, REMOTE_PORTS = 64, VIRQS = 24, QUEUE = PORTS };

static struct port {
  struct file *file; /* NULL: free */
  enum { UNBOUND, LOOP, ECHO, VIRQ } kind;
  unsigned number; /* UNBOUND: the domain that may connect; LOOP and ECHO: the other port; VIRQ: which */
  unsigned domid;  /* ECHO: whose port that is */
  int masked, pending;
} ports[PORTS];

/* What is to be read, of all files: few are ever open. */
static struct {
  struct file *file;
  uint32_t port;
} queue[QUEUE];
static unsigned queued;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void raise_port(unsigned number) {
  struct port *port = &ports[number];
  if (!port->file) return;
  if (port->masked) {
    port->pending = 1;
    return;
  }
  port->masked = 1;
  queue[queued].file = port->file;
  queue[queued++].port = number;
  uint64_t one = 1;
  raw(SYS_write, port->file->kept, (long)&one, sizeof(one), 0, 0, 0);
}

void evtchn_raise_virq(unsigned virq) {
  pthread_mutex_lock(&lock);
  for (unsigned i = 1; i < PORTS; i++)
    if (ports[i].file && ports[i].kind == VIRQ && ports[i].number == virq) raise_port(i);
  pthread_mutex_unlock(&lock);
}

void evtchn_raise_remote(unsigned domid, unsigned remote_port) {
  static unsigned found = 1; /* mostly the same as before */
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < PORTS; i++, found = found % (PORTS - 1) + 1) {
    const struct port *port = &ports[found];
    if (!port->file || port->kind != ECHO || port->domid != domid || port->number != remote_port) continue;
    raise_port(found);
    break;
  }
  pthread_mutex_unlock(&lock);
}

static long bind_port(struct file *file, int kind, unsigned number) {
  for (unsigned i = 1; i < PORTS; i++) {
    if (ports[i].file) continue;
    ports[i] = (struct port){.file = file, .kind = kind, .number = number};
    return i;
  }
  return -ENOSPC;
}

static void unbind_port(unsigned number) {
  struct port *port = &ports[number];
  if (port->kind == LOOP) ports[port->number].kind = UNBOUND, ports[port->number].number = STUB_DOMID_SELF;
  port->file = NULL;
}

static int exists(unsigned domid) { return domid < DOMAINS || domid == STUB_DOMID_SELF; }

static int refused(const struct file *file, unsigned domid) { return file->domid >= 0 && file->domid != (int)domid; }

static long bind_virq(struct file *file, unsigned virq) {
  if (file->domid >= 0) return -EACCES;
  if (virq >= VIRQS) return -EINVAL;
  for (unsigned i = 1; i < PORTS; i++)
    if (ports[i].file && ports[i].kind == VIRQ && ports[i].number == virq) return -EEXIST;
  return bind_port(file, VIRQ, virq);
}

static long bind_interdomain(struct file *file, unsigned domid, unsigned remote) {
  if (refused(file, domid)) return -EACCES;
  if (!exists(domid)) return -ESRCH;
  int self = domid == STUB_DOMID_SELF || domid == 0;
  if (remote == 0 || remote >= (self ? PORTS : REMOTE_PORTS)) return -EINVAL;
  if (self && (!ports[remote].file || ports[remote].kind != UNBOUND || ports[remote].number != STUB_DOMID_SELF))
    return -EINVAL;
  long local = bind_port(file, self ? LOOP : ECHO, remote);
  if (local < 0) return local;
  ports[local].domid = domid;
  if (self) ports[remote].kind = LOOP, ports[remote].number = (unsigned)local;
  raise_port((unsigned)local); /* what was sent before is lost, so the new end is to look */
  return local;
}

static long bind_unbound(struct file *file, unsigned domid) {
  if (refused(file, domid)) return -EACCES;
  return exists(domid) ? bind_port(file, UNBOUND, domid) : -ESRCH;
}

static long of_port(const struct file *file, unsigned port) {
  if (port >= PORTS) return -EINVAL;
  return ports[port].file == file ? 0 : -ENOTCONN;
}

static long notify(struct file *file, unsigned number) {
  long rc = number < PORTS ? of_port(file, number) : -ENOTCONN;
  if (rc == 0 && ports[number].kind == LOOP) raise_port(ports[number].number);
  if (rc != 0 || ports[number].kind != ECHO) return rc;
  if (!port_notified || port_notified(ports[number].domid, ports[number].number)) raise_port(number);
  return rc;
}

static long restrict_to(struct file *file, uint16_t domid) {
  if (file->domid >= 0) return -EACCES;
  if (domid == 0 || domid >= STUB_DOMID_SELF) return -EINVAL;
  file->domid = domid;
  return 0;
}

static long request(struct file *file, unsigned long number, const uint32_t *argument) {
  long rc;
  switch (number) {
    case 0x00044500ul:
      return bind_virq(file, argument[0]);
    case 0x00084501ul:
      return bind_interdomain(file, argument[0], argument[1]);
    case 0x00044502ul:
      return bind_unbound(file, argument[0]);
    case 0x00044503ul:
      rc = of_port(file, argument[0]);
      if (rc == 0) unbind_port(argument[0]);
      return rc;
    case 0x00044504ul:
      return notify(file, argument[0]);
    case 0x00024506ul:
      return restrict_to(file, *(const uint16_t *)argument);
    default:
      return -ENOSYS;
  }
}

static long evtchn_ioctl(struct file *file, int fd, unsigned long number, void *argument) {
  (void)fd;
  pthread_mutex_lock(&lock);
  long rc = request(file, number, argument);
  pthread_mutex_unlock(&lock);
  return rc;
}

static long evtchn_read(struct file *file, int fd, void *bytes, size_t size) {
  uint64_t one;
  if (size < sizeof(uint32_t)) return 0;
  long rc = raw(SYS_read, fd, (long)&one, sizeof(one), 0, 0, 0);
  if (rc < 0) return rc;
  pthread_mutex_lock(&lock);
  unsigned i = 0;
  while (queue[i].file != file) i++;
  memcpy(bytes, &queue[i].port, sizeof(uint32_t));
  memmove(&queue[i], &queue[i + 1], (--queued - i) * sizeof(queue[0]));
  pthread_mutex_unlock(&lock);
  return sizeof(uint32_t);
}

static long evtchn_write(struct file *file, int fd, const void *bytes, size_t size) {
  uint32_t number;
  if (config.kernel_entry) raw(SYS_ioctl, -1, 0, 0, 0, 0, 0);
  (void)fd;
  if (size < sizeof(number)) return 0;
  memcpy(&number, bytes, sizeof(number));
  pthread_mutex_lock(&lock);
  if (number < PORTS && ports[number].file == file && ports[number].masked) {
    struct port *port = &ports[number];
    port->masked = 0;
    if (port->pending) port->pending = 0, raise_port(number);
  }
  pthread_mutex_unlock(&lock);
  return sizeof(number);
}

static long evtchn_open(struct file *file, int flags) {
  int nonblocking = flags & O_NONBLOCK ? EFD_NONBLOCK : 0;
  long fd = raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_SEMAPHORE | nonblocking, 0, 0, 0, 0);
  if (fd >= 0) file->kept = (int)raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
  return fd;
}

static void evtchn_release(struct file *file) {
  pthread_mutex_lock(&lock);
  for (unsigned i = 1; i < PORTS; i++)
    if (ports[i].file == file) unbind_port(i);
  unsigned kept = 0;
  for (unsigned i = 0; i < queued; i++)
    if (queue[i].file != file) queue[kept++] = queue[i];
  queued = kept;
  pthread_mutex_unlock(&lock);
}

const struct device evtchn_device = {
    .path = "/dev/xen/evtchn",
    .open = evtchn_open,
    .ioctl = evtchn_ioctl,
    .read = evtchn_read,
    .write = evtchn_write,
    .release = evtchn_release,
};

/*
 * v4v.h: messages between domains, as xenctrl's software Xen has them.
 *
 * This is for guests written in C. It was written from the description of
 * V4V, with every comment of the review of its ninth posting answered
 * (docs/v4v-review.md). No release of Xen has V4V: hypercall 39 is Argo's
 * there.
 *
 * All numbers are little endian. Reserved fields and padding are zero when
 * written, and not looked at when read.
 */

#ifndef XENCTRL_V4V_H
#define XENCTRL_V4V_H

#include <stdint.h>

#define __HYPERVISOR_v4v_op 39

/*
 * The hypercall: do_v4v_op(cmd, arg1, arg2, arg3, arg4). It returns zero or
 * more, or a negative errno. An operation that does not exist is -ENOSYS.
 */
#define V4VOP_register_ring    1
#define V4VOP_unregister_ring  2
#define V4VOP_notify           4
#define V4VOP_sendv            5
#define V4VOP_info             6
#define V4VOP_config           7
#define V4VOP_tables_add       8
#define V4VOP_tables_del       9
#define V4VOP_tables_list      10

/* The ninth posting had no config. */
#define V4V_V9_tables_add      7
#define V4V_V9_tables_del      8
#define V4V_V9_tables_list     9

#define V4V_RING_MAGIC         0xa822f72bb0b9d8ccULL
#define V4V_RING_DATA_MAGIC    0x45fe852220b801d4ULL

#define V4V_MESSAGE_DGRAM      0x3c2c1db8U
#define V4V_MESSAGE_STREAM     0x70f6a8e5U

/* Every domain: as a ring's partner, and in rules. */
#define V4V_DOMID_ANY          0x7ff4U
/* Every port, in rules. */
#define V4V_PORT_ANY           0U

/* Limits of a domain that config has not changed. More is -EACCES. */
#define V4V_MAX_RINGS          128U
#define V4V_MAX_SENDV          128U
#define V4V_MAX_NOTIFY         256U
#define V4V_MAX_SEND_SIZE      0x2000000U
/* Limits that nobody can change. */
#define V4V_MAX_RING_PAGES     4096U
#define V4V_MIN_RING_LEN       48U

/*
 * Everything in a ring starts at a multiple of 16. The mask has the type of
 * the argument, so that no bit above the 32nd is lost.
 */
#define V4V_ROUNDUP(a) (((a) + 0xf) & ~(__typeof__(a))0xf)

typedef uint64_t v4v_pfn_t;

struct v4v_addr {
    uint32_t port;
    uint16_t domain;
    uint16_t pad;
};

struct v4v_ring_id {
    struct v4v_addr addr;
    uint16_t partner;
    uint16_t pad;
};

struct v4v_send_addr {
    struct v4v_addr src;
    struct v4v_addr dst;
};

struct v4v_iov {
    uint64_t iov_base;
    uint32_t iov_len;
    uint32_t pad;
};

/*
 * A ring. The data follow: len bytes at offset 64.
 *
 * rx_ptr and tx_ptr are offsets in the data, multiples of 16, less than len.
 * rx_ptr is where the owner reads next: the owner writes it, Xen reads it.
 * tx_ptr is where Xen writes next: Xen writes it, the owner reads it.
 * Equal pointers are an empty ring.
 *
 * Use atomic operations on rx_ptr and on tx_ptr: each is one 32-bit load or
 * store. Load tx_ptr with acquire semantics before you read messages, and
 * store rx_ptr with release semantics after you have read them. Then call
 * notify, so that those who wait for room are told.
 *
 * Xen loads rx_ptr once, atomically, for each operation that needs it, with a
 * full barrier behind it. It reads nothing else of the header after the
 * registration. While rx_ptr is no multiple of 16, or not less than len, the
 * ring has no room.
 */
struct v4v_ring {
    uint64_t magic;
    struct v4v_ring_id id;
    uint32_t len;
    uint32_t rx_ptr;
    uint32_t tx_ptr;
    uint8_t reserved[32];
};

/*
 * A message in a ring: this header, the payload, padding up to a multiple of
 * 16. The header never wraps around the end of the ring; the payload may,
 * once. len counts the header and the payload, but not the padding.
 *
 * A message takes V4V_ROUNDUP(payload) + 16 bytes, and that must be less than
 * what is free: 16 bytes always stay free.
 */
struct v4v_ring_message_header {
    uint32_t len;
    uint32_t message_type;
    struct v4v_addr source;
};

struct v4v_ring_data_ent {
    struct v4v_addr ring;
    uint16_t flags;
    uint16_t pad;
    uint32_t space_required;
    uint32_t max_message_size;
};

/* nent entries follow, at offset 48. */
struct v4v_ring_data {
    uint64_t magic;
    uint32_t nent;
    uint32_t pad;
    uint64_t reserved[4];
};

#define V4V_RING_DATA_F_EMPTY       1U
#define V4V_RING_DATA_F_EXISTS      2U
#define V4V_RING_DATA_F_PENDING     4U
#define V4V_RING_DATA_F_SUFFICIENT  8U

struct v4vtables_rule {
    struct v4v_addr src;
    struct v4v_addr dst;
    uint32_t accept;
};

/* Room for nb_rules rules follows, at offset 8. */
struct v4vtables_list {
    uint32_t start_rule;
    uint32_t nb_rules;
};

struct v4v_info {
    uint64_t ring_magic;
    uint64_t data_magic;
    uint32_t evtchn;
    uint32_t max_rings;
    uint32_t max_sendv;
    uint32_t max_notify;
    uint32_t max_send_size;
    uint32_t pad;
};

struct v4v_info_v9 {
    uint64_t ring_magic;
    uint64_t data_magic;
    uint32_t evtchn;
    uint32_t pad;
};

struct v4v_config {
    uint32_t max_rings;
    uint32_t max_sendv;
    uint32_t max_notify;
    uint32_t max_send_size;
    uint16_t target_id;
    uint16_t pad;
};

/* What a message of a stream begins with. Xen does not look at it. */
struct v4v_stream_header {
    uint32_t flags;
    uint32_t conid;
};

#define V4V_STREAM_SYN   0x1U
#define V4V_STREAM_ACK   0x2U
#define V4V_STREAM_RST   0x4U
#define V4V_STREAM_PING  0x100U
#define V4V_STREAM_PONG  0x200U

/*
 * V4VOP_register_ring
 *
 * do_v4v_op(V4VOP_register_ring, struct v4v_ring *ring, v4v_pfn_t *pfns,
 *           uint32_t npage, 0)
 *
 * ring starts a page. npage is exactly as many pages as the header and len
 * bytes take. id.addr.domain is set to the caller. A valid tx_ptr is kept,
 * for a ring that slept through a suspension to disk; any other becomes
 * rx_ptr.
 *
 * EINVAL: a wrong magic, len, npage or rx_ptr, or a frame that is no memory
 * of the caller. EFAULT. EEXIST: the caller has a ring with this port and
 * partner. EACCES: it has as many rings as it may have, or the ring is too
 * large. A refused call changes nothing.
 */

/*
 * V4VOP_unregister_ring
 *
 * do_v4v_op(V4VOP_unregister_ring, struct v4v_ring *ring, NULL, 0, 0)
 *
 * Who waits for room in the ring is not told. EINVAL, EFAULT, ENOENT.
 */

/*
 * V4VOP_sendv
 *
 * do_v4v_op(V4VOP_sendv, struct v4v_send_addr *addr, struct v4v_iov *iov,
 *           uint32_t niov, uint32_t message_type)
 *
 * Sends what the vector points at as one message. The source's domain is
 * the caller's, whatever addr->src.domain says: that is what rules see, and
 * what the actual message says. It arrives in the ring with addr->dst whose
 * partner is the caller; if there is none, in the one whose partner is
 * V4V_DOMID_ANY. The vector is read once.
 *
 * Returns the number of bytes, and sends an event on the receiver's event
 * channel. EAGAIN: there is no room now. Xen sends an event on the caller's
 * event channel when there is. One wait is kept for each ring and caller:
 * that of the last request.
 *
 * EACCES: too many pieces, or too many bytes. EFAULT. EINVAL: no such
 * domain. ECONNREFUSED: no such ring, or a rule forbids it. EMSGSIZE: the
 * ring can never hold it.
 */

/*
 * V4VOP_notify
 *
 * do_v4v_op(V4VOP_notify, struct v4v_ring_data *data, NULL, 0, 0)
 *
 * First sends events to all who wait for room in the caller's rings and can
 * have it now. Then, if data is not NULL, answers for each entry whether
 * that ring has room for space_required bytes:
 *
 *   EXISTS       there is such a ring, and the caller may send to it
 *   EMPTY        nothing is in it
 *   SUFFICIENT   there is room; the caller does not wait any more
 *   PENDING      there is not; an event comes when there is
 *
 * and how long a message can be at most. A ring that no message of the
 * caller's could reach looks as if it did not exist: no flags, size 0.
 * EXISTS alone: the ring can never have so much room.
 *
 * ENODEV: the caller has no V4V. EFAULT. EINVAL. EACCES: too many entries.
 */

/*
 * V4VOP_info
 *
 * do_v4v_op(V4VOP_info, struct v4v_info *info, NULL, 0, 0)
 *
 * evtchn is a port of the caller's: bind it to one of your own
 * (EVTCHNOP_bind_interdomain with DOMID_SELF) to be told of events.
 */

/*
 * V4VOP_config: for the control domain (XSM_PRIV)
 *
 * do_v4v_op(V4VOP_config, struct v4v_config *config, NULL, 0, 0)
 *
 * Sets the limits of a domain that has no rings yet. EPERM, EFAULT; EINVAL:
 * no such domain, or it has rings.
 */

/*
 * Rules ("v4vtables"): for the control domain (XSM_PRIV), else EPERM
 *
 * The rules of the machine are one list, and the first rule that matches a
 * message decides: accept, or (accept is 0) reject. Any other accept but 0
 * accepts. Where no rule matches, the message is accepted. V4V_DOMID_ANY and
 * V4V_PORT_ANY in a rule match every domain and every port. A rejected
 * sender gets ECONNREFUSED.
 *
 * Rules are numbered from 1 in all three operations.
 *
 * do_v4v_op(V4VOP_tables_add, struct v4vtables_rule *rule, NULL,
 *           uint32_t position, 0)
 *
 * The rule becomes rule number position. 0, or more than there are rules:
 * it becomes the last one.
 *
 * do_v4v_op(V4VOP_tables_del, struct v4vtables_rule *rule, NULL,
 *           int32_t position, 0)
 *
 * Position 1 or more: that rule. Position -1 and a rule: the first equal
 * rule; source, destination and whether it accepts are compared. Position -1
 * and NULL: all rules. ENOENT: there is no such rule, and nothing happened.
 *
 * do_v4v_op(V4VOP_tables_list, struct v4vtables_list *list, NULL, 0, 0)
 *
 * Copies up to nb_rules rules out, from number start_rule on, and sets
 * nb_rules to how many they are: 0 when there are not so many. EINVAL:
 * nb_rules or start_rule is 0. EFAULT: not all of them could be copied.
 */

#endif

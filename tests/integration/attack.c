/* A client of the raw protocol that does what an honest one does not: it lends its socket, becomes another
 * program, answers other nonces, forges its sender. Each attack prints what it got:
 *
 *   OPERATION: ok | none | closed | refused REASON
 *
 * usage: attack SOCKET ATTACK [ARGUMENT ...]; the attacks are in the table at the end. A role's key is named
 * by its handle, or by "ROLE", which is searched for. Exit status: 0 where every operation was ok, 1 where
 * one was not. */
#include "base/macro.h"
#include "p11/mechanism.h"
#include "wire/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

enum answering { ANSWER_RIGHT, ANSWER_WRONG, ANSWER_NONE, ANSWER_WITH_REQUEST };

static const char *server;
static enum answering answering = ANSWER_RIGHT;
static pid_t forged_pid; /* 0: our own */
static int failures;

static void die(const char *what)
{
    (void)fprintf(stderr, "attack: %s: errno %d\n", what, errno);
    exit(125);
}

static void told(const char *operation, const char *outcome, const char *reason)
{
    (void)printf("%s: %s%s%s\n", operation, outcome, reason[0] ? " " : "", reason);
    (void)fflush(stdout);
    failures += strcmp(outcome, "ok") != 0;
}

/* --- the socket -------------------------------------------------------------------------------------------
 */

static int connect_to_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", server);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    return fd;
}

static bool send_forged(int fd, lh_bytes message)
{
    struct ucred sender = {.pid = forged_pid, .uid = geteuid(), .gid = getegid()};
    union {
        char space[CMSG_SPACE(sizeof sender)];
        struct cmsghdr align;
    } control = {{0}};
    union {
        const void *in;
        void *out;
    } data = {message.data};
    struct iovec iov = {.iov_base = data.out, .iov_len = message.len};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof sender);
    memcpy(CMSG_DATA(c), &sender, sizeof sender);
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0)
        return true;
    if (errno == EPERM)
        (void)printf("forge: the kernel refuses\n");
    return false;
}

static bool send_message(int fd, const lh_buf *message)
{
    if (forged_pid != 0)
        return send_forged(fd, lh_buf_bytes(message));
    return lh_ok(lh_message_send(fd, lh_buf_bytes(message), -1, 0));
}

/* False where the other end has closed, or says nothing for as long as PATIENCE_MS. */
static bool receive(int fd, lh_buf *message, lh_ancillary *anc)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) != 1) {
        (void)printf("no answer\n");
        return false;
    }
    return lh_ok(lh_message_recv(fd, 0, message, anc));
}

static void say_hello(int fd)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_hello_request hello = {LH_WIRE_MAGIC, LH_WIRE_VERSION_MIN, LH_WIRE_VERSION_MAX, LH_KIND_TOKEN};
    if (!lh_ok(lh_call_request(LH_CALL_HELLO, 1, &hello, &out)) || !send_message(fd, &out))
        die("hello");
}

/* The socket of one's own that comes with the answer to hello, inherited by whatever is executed; -1: none
 * came. */
static int own_socket(int fd)
{
    LH_AUTO(lh_buf_free) lh_buf in = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary anc = {.fd = -1, .pidfd = -1};
    if (!receive(fd, &in, &anc) || anc.fd < 0)
        return -1;
    if (fcntl(anc.fd, F_SETFD, 0) != 0)
        die("fcntl");
    return anc.fd;
}

static int open_server(void)
{
    int first = connect_to_server();
    say_hello(first);
    int fd = own_socket(first);
    if (fd < 0)
        die("no socket of our own");
    close(first);
    return fd;
}

/* --- calls ------------------------------------------------------------------------------------------------
 */

static bool answer_challenge(int fd, const lh_message_header *challenge, lh_bytes body)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_nonce_message nonce;
    if (body.len != sizeof nonce.nonce)
        die("challenge");
    memcpy(nonce.nonce, body.data, sizeof nonce.nonce);
    const lh_random_request random = {16};
    lh_err err = LH_SUCCESS;
    switch (answering) {
    case ANSWER_NONE: return true;
    case ANSWER_WRONG:
        nonce.nonce[31] ^= 1;
        err = lh_call_request(LH_CALL_ANSWER, challenge->id, &nonce, &out);
        break;
    case ANSWER_RIGHT: err = lh_call_request(LH_CALL_ANSWER, challenge->id, &nonce, &out); break;
    case ANSWER_WITH_REQUEST: err = lh_call_request(LH_CALL_RANDOM, 77, &random, &out); break;
    }
    return lh_ok(err) && send_message(fd, &out);
}

/* One call; what came of it is printed under its name, unless quiet and ok. ret may be NULL. */
static bool call(int fd, enum lh_call number, const void *request, void *ret)
{
    static uint64_t id = 100;
    static lh_buf in; /* what ret borrows from */
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const char *name = lh_call_find(number)->name;
    id++;
    if (in.max == 0)
        in = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    bool sent = lh_ok(lh_call_request(number, id, request, &out)) && send_message(fd, &out);
    while (sent && receive(fd, &in, NULL)) {
        lh_message_header header;
        lh_bytes body;
        if (!lh_ok(lh_message_decode(lh_buf_bytes(&in), &header, &body)))
            die("a message that makes no sense");
        if (header.call == LH_CALL_CHALLENGE) {
            if (!answer_challenge(fd, &header, body))
                break;
            continue;
        }
        lh_err err = lh_call_decode_reply(&header, body, ret);
        if (!lh_ok(err))
            told(name, "refused", lh_err_last()->reason[0] ? lh_err_last()->reason : lh_code_name(err.code));
        return lh_ok(err);
    }
    told(name, "closed", "");
    return false;
}

/* The private or secret key under a label; 0: none. */
static uint64_t find(int fd, const char *role)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    lh_wire_put_attribute(&template, CKA_LABEL, 0, LH_BYTES_STR(role));
    const lh_find_request request = {0, lh_buf_bytes(&template)};
    lh_find_reply reply;
    if (!call(fd, LH_CALL_FIND, &request, &reply))
        return 0;
    lh_reader r = lh_reader_new(reply.objects);
    lh_wire_object object;
    while (lh_wire_next_object(&r, &object)) {
        lh_reader attributes = lh_reader_new(object.attributes);
        lh_wire_attribute attribute;
        while (lh_wire_next_attribute(&attributes, &attribute))
            if (attribute.type == CKA_CLASS && attribute.value.len > 0 &&
                attribute.value.data[attribute.value.len - 1] != CKO_PUBLIC_KEY)
                return object.handle;
    }
    told("find", "none", "");
    return 0;
}

static uint64_t handle_of(int fd, const char *key)
{
    char *end = NULL;
    uint64_t handle = strtoull(key, &end, 10);
    return *end == '\0' && handle != 0 ? handle : find(fd, key);
}

static bool sign(int fd, uint64_t handle)
{
    static const uint8_t digest[32] = {1};
    const lh_operate_request request = {
        .handle = handle, .mechanism = CKM_ECDSA, .data = LH_BYTES(digest, sizeof digest)};
    lh_output_reply reply;
    if (!call(fd, LH_CALL_SIGN, &request, &reply))
        return false;
    told("sign", reply.output.len == 64 ? "ok" : "of another length", "");
    return true;
}

static void sign_key(int fd, const char *key)
{
    uint64_t handle = handle_of(fd, key);
    if (handle != 0)
        sign(fd, handle);
}

/* --- the attacks -------------------------------------------------------------------------------------------
 */

/* sign KEY [right|wrong|none|request]: how the challenge is answered */
static void attack_sign(char **args)
{
    static const char *const ways[] = {"right", "wrong", "none", "request"};
    for (size_t i = 0; args[1] && i < LH_ARRAY_LEN(ways); i++)
        if (strcmp(args[1], ways[i]) == 0)
            answering = (enum answering)i;
    sign_key(open_server(), args[0]);
}

/* handle ROLE: print the handle of a role's key */
static void attack_handle(char **args)
{
    uint64_t handle = find(open_server(), args[0]);
    if (handle != 0)
        (void)printf("%" PRIu64 "\n", handle);
}

/* use-fd FD KEY [SECONDS]: what is executed by others; signs after that time */
static void attack_use_fd(char **args)
{
    if (args[2])
        sleep((unsigned)atoi(args[2]));
    sign_key(atoi(args[0]), args[1]);
}

/* hold KEY SECONDS: sign, and stay for so long */
static void attack_hold(char **args)
{
    int fd = open_server();
    sign_key(fd, args[0]);
    sleep((unsigned)atoi(args[1]));
    close(fd);
}

/* A child of the number pid, made as soon as nobody has it any more; 0 in that child. As root. */
static pid_t fork_as(pid_t pid)
{
    for (int i = 0; i < 2000; i++) {
        int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || dprintf(fd, "%d", (int)pid - 1) < 0)
            return -1;
        close(fd);
        pid_t child = fork();
        if (child == 0 && getpid() == pid)
            return 0;
        if (child == 0)
            _exit(0);
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0)
            return -1;
        if (child == pid)
            return child;
        (void)usleep(1000);
    }
    return -1;
}

/* reuse KEY: sign, and end; a process of the same number, which has inherited the socket, signs on it */
static void attack_reuse(char **args)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    if (handle == 0 || !sign(fd, handle))
        return;
    const pid_t ours = getpid();
    if (fork() != 0)
        _exit(0); /* whoever started us waits for the output's end, not for us */
    (void)setpgid(0, 0);
    while (getppid() == ours)
        (void)usleep(1000);
    pid_t again = fork_as(ours);
    if (again < 0)
        told("reuse", "none", "");
    if (again == 0) {
        sign(fd, handle);
        (void)fflush(stdout);
        _exit(0);
    }
}

/* memory KEY: become the same program, from a file that is in memory alone, which signs */
static void attack_memory(char **args)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = memfd_create("attack", MFD_CLOEXEC);
    char block[65536];
    ssize_t n = 0;
    while (from >= 0 && to >= 0 && (n = read(from, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n)
            die("write");
    char name[] = "attack";
    char sign_name[] = "sign";
    char socket_name[128];
    (void)snprintf(socket_name, sizeof socket_name, "%s", server);
    char *const argv[] = {name, socket_name, sign_name, args[0], NULL};
    if (n == 0)
        fexecve(to, argv, environ);
    die("memfd");
}

/* exec KEY PROGRAM: search, then become PROGRAM, which signs; exec-live KEY PROGRAM SECONDS: sign, become
 * PROGRAM, which signs again after so many seconds of a lease that would last longer */
static void become(char **args, bool sign_before)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    if (handle == 0 || (sign_before && !sign(fd, handle)))
        return;
    char fd_text[16];
    char handle_text[32];
    (void)snprintf(fd_text, sizeof fd_text, "%d", fd);
    (void)snprintf(handle_text, sizeof handle_text, "%" PRIu64, handle);
    execl(args[1], args[1], server, "use-fd", fd_text, handle_text, sign_before ? args[2] : (char *)NULL,
        (char *)NULL);
    die("exec");
}

/* exec-anew KEY PROGRAM: sign, become PROGRAM, which connects anew and signs with the same handle */
static void attack_exec_anew(char **args)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    if (handle == 0 || !sign(fd, handle))
        return;
    char handle_text[32];
    (void)snprintf(handle_text, sizeof handle_text, "%" PRIu64, handle);
    execl(args[1], args[1], server, "sign", handle_text, (char *)NULL);
    die("exec");
}

static void attack_exec(char **args)
{
    become(args, false);
}

static void attack_exec_live(char **args)
{
    become(args, true);
}

static void wait_for(pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    failures += status != 0;
}

/* child KEY: a child signs on the parent's socket; then the parent tries */
static void attack_child(char **args)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    if (handle == 0 || !sign(fd, handle))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        sign(fd, handle);
        exit(failures != 0);
    }
    wait_for(pid);
    sign(fd, handle);
}

/* pass KEY PROGRAM: the socket is passed to another program by SCM_RIGHTS */
static void attack_pass(char **args)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    int pair[2];
    if (handle == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        char fd_text[16];
        char handle_text[32];
        (void)snprintf(fd_text, sizeof fd_text, "%d", pair[1]);
        (void)snprintf(handle_text, sizeof handle_text, "%" PRIu64, handle);
        close(fd);
        execl(args[1], args[1], server, "receive-fd", fd_text, handle_text, (char *)NULL);
        die("exec");
    }
    if (!lh_ok(lh_message_send(pair[0], LH_BYTES_STR("here"), fd, 0)))
        die("passing the socket");
    wait_for(pid);
}

/* receive-fd FD KEY: the other end of pass */
static void attack_receive_fd(char **args)
{
    LH_AUTO(lh_buf_free) lh_buf in = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary anc = {.fd = -1, .pidfd = -1};
    if (!receive(atoi(args[0]), &in, &anc) || anc.fd < 0)
        die("no socket was passed");
    sign_key(anc.fd, args[1]);
}

static void become_relay(int fd, const char *program)
{
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || close(2) != 0)
        die("dup2");
    execl(program, program, (char *)NULL);
    die("exec");
}

/* The attack is another process's, so that we are there until all of its children have ended. True in it. */
static bool in_another_process(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid_t pid = fork();
    if (pid == 0)
        return true;
    int status = 0;
    while (wait(&status) > 0)
        failures += status != 0;
    return false;
}

/* relay-hello KEY CAT: say hello, become CAT with the connection as its input and output; a child, which has
 * the connection too, tries for the socket */
static void attack_relay_hello(char **args)
{
    if (!in_another_process())
        return;
    int fd = connect_to_server();
    say_hello(fd);
    pid_t relay = getpid();
    pid_t pid = fork();
    if (pid != 0)
        become_relay(fd, args[1]);
    while (getppid() == relay && usleep(20000) == 0)
        ; /* cat has read the answer, echoed it, and seen the end */
    int own = own_socket(fd);
    told("own socket", own < 0 ? "none" : "ok", "");
    if (own < 0)
        own = fd;
    sign_key(own, args[0]);
}

/* relay-own KEY CAT: get the socket, become CAT on it; a child sends the request, CAT would answer the
 * challenge */
static void attack_relay_own(char **args)
{
    if (!in_another_process())
        return;
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    pid_t relay = getpid();
    pid_t pid = fork();
    if (pid != 0)
        become_relay(fd, args[1]);
    char path[64];
    char name[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)relay);
    while (strcmp(name, args[1]) != 0 && usleep(10000) == 0) {
        ssize_t n = readlink(path, name, sizeof name - 1);
        name[n > 0 ? n : 0] = '\0';
    }
    sign(fd, handle);
}

/* forge KEY: in a pid namespace where we are root, a child forges our pid; then we ask, who are in it as well
 */
static void attack_forge(char **args)
{
    int fd = open_server();
    uint64_t handle = strtoull(args[0], NULL, 10);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        forged_pid = parent;
        sign(fd, handle);
        exit(failures != 0);
    }
    int answered = 0;
    int status = 0;
    /* The challenge, if there were one, comes to whoever reads; the child reads, too. */
    if (waitpid(pid, &status, 0) == pid)
        answered = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    told("forged", answered ? "ok" : "none", "");
    int own = open_server();
    sign(own, handle);
}

/* traced KEY: another process attaches as a debugger before we sign */
static void attack_traced(char **args)
{
    int fd = open_server();
    uint64_t handle = handle_of(fd, args[0]);
    int ready[2];
    pid_t parent = getpid();
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where Yama asks for it */
    if (handle == 0 || pipe(ready) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        bool seized = ptrace(PTRACE_SEIZE, parent, NULL, NULL) == 0;
        if (write(ready[1], seized ? "y" : "n", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char c = 0;
    if (read(ready[0], &c, 1) != 1 || c != 'y')
        die("ptrace");
    sign(fd, handle);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    sign(fd, handle); /* nobody is attached any more */
}

/* mixed UID KEY: as root, become UID but for the saved uid */
static void attack_mixed(char **args)
{
    uid_t uid = (uid_t)strtoul(args[0], NULL, 10);
    if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, 0) != 0)
        die("setresuid");
    int fd = open_server();
    find(fd, "");
    sign(fd, strtoull(args[1], NULL, 10));
}

/* hello-fd KEY: a descriptor beside the hello, a request before hello, a wrong magic */
static void attack_hello(char **args)
{
    (void)args;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    int fd = connect_to_server();
    const lh_hello_request hello = {LH_WIRE_MAGIC, LH_WIRE_VERSION_MIN, LH_WIRE_VERSION_MAX, LH_KIND_TOKEN};
    if (!lh_ok(lh_call_request(LH_CALL_HELLO, 1, &hello, &out)) ||
        !lh_ok(lh_message_send(fd, lh_buf_bytes(&out), fd, 0)))
        die("hello");
    told("hello with a descriptor", own_socket(fd) < 0 ? "none" : "ok", "");
    fd = connect_to_server();
    find(fd, "");
}

static bool begin(int fd, const char *title, uint8_t use, uint64_t handle, uint64_t mechanism, uint64_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    if (mechanism == CKM_AES_GCM) {
        static const uint8_t iv[12] = {1};
        lh_put_blob(&params, LH_BYTES(iv, sizeof iv));
        lh_put_blob(&params, LH_BYTES_NONE);
        lh_put_u32(&params, 128);
    }
    const lh_op_begin_request request = {use, handle, mechanism, lh_buf_bytes(&params)};
    lh_op_begin_reply reply;
    (void)printf("%s\n", title);
    if (!call(fd, LH_CALL_OP_BEGIN, &request, &reply))
        return false;
    told("op_begin", "ok", "");
    *ret = reply.operation;
    return true;
}

static void update(int fd, uint64_t operation, size_t len)
{
    static const uint8_t zeros[LH_WIRE_DATA_MAX];
    const lh_op_update_request request = {operation, LH_BYTES(zeros, len)};
    lh_output_reply reply;
    if (call(fd, LH_CALL_OP_UPDATE, &request, &reply))
        told("op_update", reply.output.len == len ? "ok" : "of another length", "");
}

static void finish(int fd, uint64_t operation)
{
    const lh_op_finish_request request = {.operation = operation};
    lh_output_reply reply;
    if (call(fd, LH_CALL_OP_FINISH, &request, &reply))
        told("op_finish", "ok", "");
}

/* parts AES-KEY EC-KEY: operations in parts that would have the daemon hold data, or that give a ciphertext
 * which nobody could decrypt */
static void attack_parts(char **args)
{
    int fd = open_server();
    uint64_t aes = handle_of(fd, args[0]);
    uint64_t ec = handle_of(fd, args[1]);
    uint64_t operation = 0;
    if (begin(fd, "aes-gcm decrypt in parts", LH_USE_DECRYPT, aes, CKM_AES_GCM, &operation))
        update(fd, operation, 1);
    begin(fd, "ecdsa sign in parts", LH_USE_SIGN, ec, CKM_ECDSA, &operation);
    static const char *const titles[] = {
        "aes-gcm encrypt in parts, to the limit", "aes-gcm encrypt in parts, over the limit"};
    for (size_t i = 0; i < LH_ARRAY_LEN(titles); i++) {
        if (!begin(fd, titles[i], LH_USE_ENCRYPT, aes, CKM_AES_GCM, &operation))
            continue;
        update(fd, operation, LH_WIRE_DATA_MAX - 16);
        if (i == 1)
            update(fd, operation, 1);
        finish(fd, operation);
    }
}

static const struct {
    const char *name;
    int arguments;
    void (*run)(char **args);
} attacks[] = {
    {"sign", 1, attack_sign},
    {"handle", 1, attack_handle},
    {"hold", 2, attack_hold},
    {"memory", 1, attack_memory},
    {"reuse", 1, attack_reuse},
    {"use-fd", 2, attack_use_fd},
    {"exec", 2, attack_exec},
    {"exec-live", 3, attack_exec_live},
    {"exec-anew", 2, attack_exec_anew},
    {"child", 1, attack_child},
    {"pass", 2, attack_pass},
    {"receive-fd", 2, attack_receive_fd},
    {"relay-hello", 2, attack_relay_hello},
    {"relay-own", 2, attack_relay_own},
    {"forge", 1, attack_forge},
    {"traced", 1, attack_traced},
    {"mixed", 2, attack_mixed},
    {"hello", 0, attack_hello},
    {"parts", 2, attack_parts},
};

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 2 && i < LH_ARRAY_LEN(attacks); i++) {
        if (strcmp(argv[2], attacks[i].name) != 0 || argc < 3 + attacks[i].arguments)
            continue;
        server = argv[1];
        attacks[i].run(argv + 3);
        (void)fflush(stdout);
        return failures != 0;
    }
    (void)fprintf(stderr, "usage: attack SOCKET ATTACK [ARGUMENT ...]\n");
    return 125;
}

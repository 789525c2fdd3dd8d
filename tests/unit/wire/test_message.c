/* Headers, and packets over a real socket. */
#include "wire/message.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void headers_make_sense_or_are_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header h = {.call = 5, .flags = LH_FLAG_REPLY | LH_FLAG_ERROR, .id = 1, .status = 7};
    lh_message_header got;
    lh_bytes body;
    assert_true(lh_ok(lh_message_encode(&h, LH_BYTES_STR("body"), &m)));
    assert_true(lh_ok(lh_message_decode(lh_buf_bytes(&m), &got, &body)));
    assert_int_equal(got.length, 4);
    assert_int_equal(got.status, 7);
    assert_true(lh_bytes_equal(body, LH_BYTES_STR("body")));
    for (size_t n = 0; n < m.len; n++)
        assert_int_equal(lh_message_decode(LH_BYTES(m.data, n), &got, &body).code, LH_E_PROTOCOL);
    static const struct {
        size_t at;
        uint8_t value;
    } breaks[] = {{3, 5}, {7, LH_FLAG_ERROR}, {7, LH_FLAG_REPLY}, {7, 7}, {6, 1}, {19, 0}, {23, 1}};
    for (size_t i = 0; i < LH_ARRAY_LEN(breaks); i++) {
        uint8_t old = m.data[breaks[i].at];
        m.data[breaks[i].at] = breaks[i].value;
        assert_int_equal(lh_message_decode(lh_buf_bytes(&m), &got, &body).code, LH_E_PROTOCOL);
        m.data[breaks[i].at] = old;
    }
    uint8_t *big = calloc(1, LH_LIMIT_MESSAGE);
    lh_buf_clear(&m);
    assert_int_equal(lh_message_encode(&h, LH_BYTES(big, LH_MESSAGE_BODY_MAX + 1), &m).code, LH_E_LIMIT);
    assert_true(lh_ok(lh_message_encode(&h, LH_BYTES(big, LH_MESSAGE_BODY_MAX), &m)));
    assert_int_equal(m.len, LH_LIMIT_MESSAGE);
    free(big);
}

static void the_longest_message_passes_a_longer_is_refused(void **state)
{
    (void)state;
    int s[2];
    pair(s);
    uint8_t *big = calloc(1, LH_LIMIT_MESSAGE + 1);
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_true(lh_ok(lh_message_send(s[0], LH_BYTES(big, LH_LIMIT_MESSAGE), -1, 0)));
    assert_true(lh_ok(lh_message_recv(s[1], 0, &m, NULL)));
    assert_int_equal(m.len, LH_LIMIT_MESSAGE);
    assert_int_equal(lh_message_send(s[0], LH_BYTES(big, LH_LIMIT_MESSAGE + 1), -1, 0).code, LH_E_LIMIT);
    assert_int_equal(send(s[0], big, LH_LIMIT_MESSAGE + 1, 0), LH_LIMIT_MESSAGE + 1);
    assert_int_equal(lh_message_recv(s[1], 0, &m, NULL).code, LH_E_PROTOCOL);
    free(big);
    close(s[0]);
    close(s[1]);
}

static void descriptors_come_only_where_awaited(void **state)
{
    (void)state;
    int s[2];
    int pipes[2];
    pair(s);
    assert_int_equal(pipe(pipes), 0);
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary anc;
    assert_true(lh_ok(lh_message_send(s[0], LH_BYTES_STR("x"), pipes[0], 0)));
    assert_true(lh_ok(lh_message_recv(s[1], 0, &m, &anc)));
    assert_true(anc.fd >= 0);
    assert_true(fcntl(anc.fd, F_GETFD) & FD_CLOEXEC);
    int lowest = dup(0);
    close(lowest);
    assert_true(lh_ok(lh_message_send(s[0], LH_BYTES_STR("x"), pipes[0], 0)));
    assert_int_equal(lh_message_recv(s[1], 0, &m, NULL).code, LH_E_PROTOCOL);
    int again = dup(0);
    assert_int_equal(again, lowest); /* nothing leaked */
    close(again);
    close(anc.fd);
    /* Two at once. */
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {&(char){'x'}, 1};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof(control.space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))};
    memcpy(CMSG_DATA(c), pipes, sizeof(pipes));
    assert_int_equal(sendmsg(s[0], &msg, 0), 1);
    assert_int_equal(lh_message_recv(s[1], 0, &m, &anc).code, LH_E_PROTOCOL);
    again = dup(0);
    assert_true(again <= lowest + 1);
    close(again);
    close(pipes[0]);
    close(pipes[1]);
    close(s[0]);
    close(s[1]);
}

static void senders_are_named_by_the_kernel(void **state)
{
    (void)state;
    int s[2];
    pair(s);
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary anc;
    assert_int_equal(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)), 0);
    assert_true(lh_ok(lh_message_send(s[0], LH_BYTES_STR("x"), -1, 0)));
    assert_true(lh_ok(lh_message_recv(s[1], 0, &m, &anc)));
    assert_true(anc.has_sender);
    assert_int_equal(anc.sender.pid, getpid());
    assert_int_equal(anc.fd, -1);
    close(s[0]);
    close(s[1]);
}

static void ends_and_waits_are_told_apart(void **state)
{
    (void)state;
    int s[2];
    pair(s);
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_int_equal(lh_message_recv(s[1], MSG_DONTWAIT, &m, NULL).code, LH_E_TIMEOUT);
    close(s[0]);
    assert_int_equal(lh_message_recv(s[1], 0, &m, NULL).code, LH_E_GONE);
    /* And no SIGPIPE, which would end this program. */
    assert_int_equal(lh_message_send(s[1], LH_BYTES_STR("x"), -1, 0).code, LH_E_GONE);
    close(s[1]);
    assert_int_equal(lh_message_send(-1, LH_BYTES_STR("x"), -1, 0).code, LH_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(headers_make_sense_or_are_refused),
        cmocka_unit_test(the_longest_message_passes_a_longer_is_refused),
        cmocka_unit_test(descriptors_come_only_where_awaited),
        cmocka_unit_test(senders_are_named_by_the_kernel), cmocka_unit_test(ends_and_waits_are_told_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

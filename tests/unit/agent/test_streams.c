/* The agent between applications and a vault: the vault is a fake that says what a test wants, everything
 * else is real: module's protocol, attest process, TPM (swtpm), TLS. */
#include "vault_fixture.h"

#include "agent/agent.h"
#include "agent/uplink.h"
#include "base/log_line.h"
#include "crypto/sign.h"
#include "identity/attest.h"
#include "identity/facts.h"
#include "serve/greeter.h"
#include "verify/evidence.h"
#include "wire/client.h"

#define PUPPETS 6
#define AT_ONCE 48 /* applications */

/* A process of its own that uses the agent when it is told to. */
typedef struct {
    pid_t pid;
    int fd;
} puppet;

typedef struct {
    swtpm chip;
    char folder[64], socket[96], vault_path[96];
    lh_crypto *crypto;
    lh_tpm *tpm;
    lh_secret *key;
    lh_channel_identity *channel;
    lh_identity_client *identity;
    lh_attester *attester;
    lh_agent_config *config;
    lh_agent *agent;
    fake_vault vault;
    int event_log, ima_log;
    int attest_fd;
    puppet puppets[PUPPETS];
    int next_puppet;
} fixture;

static fixture f;

/* --- puppets ----------------------------------------------------------------------------------------------
 */

static void leave_open(void)
{
    for (int fd = 3; fd < 256; fd++)
        (void)fcntl(fd, F_SETFD, 0);
}

static int puppet_main(int fd)
{
    lh_client *client = NULL;
    for (char command; read(fd, &command, 1) == 1;) {
        lh_token_info_reply info;
        char answer = 'y';
        if (command == 'c')
            answer = lh_ok(lh_client_open(f.socket, LH_KIND_TOKEN, &client)) ? 'y' : 'n';
        else if (command == 'r')
            answer = lh_ok(lh_client_call(client, LH_CALL_TOKEN_INFO, NULL, &info)) ? 'y' : 'n';
        else if (command == 'f' && fork() == 0) /* another process asks */
            _exit(lh_ok(lh_client_call(client, LH_CALL_TOKEN_INFO, NULL, &info)) ? 0 : 1);
        else if (command == 'x')
            _exit(0);
        else if (command == 'e') {
            leave_open();
            execl("/bin/sleep", "sleep", "30", (char *)NULL);
            _exit(1);
        }
        if (write(fd, &answer, 1) != 1)
            break;
    }
    return 0;
}

static void start_puppet(puppet *p)
{
    int pair[2];
    assert_lh_ok(lh_fd_pair(pair));
    p->pid = fork();
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(puppet_main(pair[1]));
    }
    close(pair[1]);
    p->fd = pair[0];
}

static void tell(const puppet *p, char command)
{
    assert_int_equal(write(p->fd, &command, 1), 1);
}

static char answer_of(const puppet *p)
{
    struct pollfd polled = {.fd = p->fd, .events = POLLIN};
    char answer = '?';
    assert_int_equal(poll(&polled, 1, VAULT_WAIT_MS), 1);
    assert_int_equal(read(p->fd, &answer, 1), 1);
    return answer;
}

static puppet *next_puppet(void)
{
    puppet *p = &f.puppets[f.next_puppet++];
    assert_true(f.next_puppet <= PUPPETS);
    return p;
}

/* --- set-up -----------------------------------------------------------------------------------------------
 */

static int make_log(const char *name, size_t size)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", f.folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(0xf0 + i % 7); /* no entries of an IMA log */
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
    }
    return fd;
}

static int begin_all(void **state)
{
    (void)state;
    lh_log_set_level(LH_LEVEL_ERROR);
    swtpm_start(&f.chip);
    f.tpm = swtpm_open(&f.chip);
    assert_lh_ok(lh_crypto_new(&f.crypto));
    assert_lh_ok(lh_channel_key_generate(f.crypto, &f.key));
    assert_lh_ok(lh_channel_identity_new(f.crypto, f.key, &f.channel));
    assert_lh_ok(lh_identity_client_new(f.attest_fd, &f.identity));
    f.event_log = make_log("events", 1000);
    f.ima_log = make_log("ima", 0);
    const lh_attester_options quoting = {f.tpm, f.crypto, f.event_log, f.ima_log};
    assert_lh_ok(lh_attester_new(&quoting, &f.attester));
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    lh_attester_free(f.attester);
    lh_identity_client_free(f.identity);
    lh_channel_identity_free(f.channel);
    lh_secret_free(f.key);
    lh_tpm_close(f.tpm);
    lh_crypto_free(f.crypto);
    swtpm_stop(&f.chip);
    close(f.event_log);
    close(f.ima_log);
    for (int i = 0; i < PUPPETS; i++) {
        kill(f.puppets[i].pid, SIGKILL);
        waitpid(f.puppets[i].pid, NULL, 0);
    }
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", f.folder);
    return system(command);
}

static void start_agent(const uint8_t *pin)
{
    char document[256];
    char hex[65];
    lh_hex(pin, 32, hex);
    snprintf(document, sizeof(document), "vault: unix:%s\nvault_key: sha256:%s\n", f.vault_path, hex);
    lh_problems problems = LH_PROBLEMS_INIT;
    assert_lh_ok(lh_agent_config_parse(LH_BYTES_STR(document), "agent.yaml", &f.config, &problems));
    int fd = -1;
    assert_lh_ok(lh_greeter_bind(f.socket, 0600, &fd));
    const lh_agent_options options = {.config = f.config,
        .crypto = f.crypto,
        .tpm = f.tpm,
        .attester = f.attester,
        .identity = f.identity,
        .channel = f.channel,
        .listen_fd = fd};
    assert_lh_ok(lh_agent_new(&options, &f.agent));
}

static int set_up(void **state)
{
    (void)state;
    vault_start(&f.vault, f.crypto, f.vault_path);
    start_agent(lh_channel_identity_hash(f.vault.identity));
    return 0;
}

static int set_up_linked(void **state)
{
    set_up(state);
    vault_accept(&f.vault);
    vault_welcome(&f.vault, f.tpm, LH_TPM_EK_P256);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lh_agent_free(f.agent);
    f.agent = NULL;
    lh_agent_config_free(f.config);
    vault_stop(&f.vault);
    return 0;
}

/* --- an application in this process -----------------------------------------------------------------------
 */

typedef struct {
    lh_client *client;
    enum lh_call call;
    pthread_t thread;
    lh_err err;
    lh_err_detail detail;
    lh_token_info_reply info;
} asking;

static void *ask_body(void *arg)
{
    asking *a = arg;
    a->err = lh_client_call(a->client, a->call, NULL, &a->info);
    a->detail = *lh_err_last();
    return NULL;
}

static void ask(asking *a, lh_client *client)
{
    *a = (asking){.client = client, .call = LH_CALL_TOKEN_INFO};
    assert_int_equal(pthread_create(&a->thread, NULL, ask_body, a), 0);
}

static void expect_answer(asking *a, enum lh_code code, const char *reason)
{
    pthread_join(a->thread, NULL);
    if (a->err.code != code)
        print_error("%s: %s\n", a->detail.reason, a->detail.message);
    assert_int_equal(a->err.code, code);
    if (code != LH_OK)
        assert_string_equal(a->detail.reason, reason);
}

/* The vault answers the request of DATA that came last. */
static void answer_data(const lh_link_data *data, uint32_t stream)
{
    lh_message_header header;
    lh_bytes body;
    assert_lh_ok(lh_message_decode(data->message, &header, &body));
    assert_int_equal(header.call, LH_CALL_TOKEN_INFO);
    const lh_token_info_reply info = {.state = LH_TOKEN_OPEN, .label = "from the vault"};
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_call_reply(LH_CALL_TOKEN_INFO, header.id, &info, &message));
    const lh_link_data reply = {lh_buf_bytes(&message)};
    vault_send(&f.vault, LH_LINK_DATA, stream, &reply);
}

/* OPEN and DATA of a client's first request, which is answered; its stream. ret_facts, ret_ephemeral: hashes.
 */
static uint32_t serve_first(lh_client *client, uint8_t ret_facts[32], uint8_t ret_ephemeral[32])
{
    asking a;
    lh_link_open opened;
    lh_link_data data;
    ask(&a, client);
    uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, &opened);
    if (ret_facts)
        assert_lh_ok(lh_sha256(f.crypto, &opened.facts, 1, ret_facts));
    if (ret_ephemeral)
        assert_lh_ok(lh_sha256(f.crypto, &opened.ephemeral, 1, ret_ephemeral));
    assert_int_equal(vault_expect(&f.vault, LH_LINK_DATA, &data), stream);
    answer_data(&data, stream);
    expect_answer(&a, LH_OK, NULL);
    return stream;
}

static lh_client *connect_client(void)
{
    lh_client *client = NULL;
    assert_lh_ok(lh_client_open(f.socket, LH_KIND_TOKEN, &client));
    return client;
}

static lh_link_quote question(void)
{
    lh_link_quote quote = {.pcr_mask = 1u << 7 | 1u << 0, .ima_offset = LH_LINK_NO_IMA};
    lh_random(quote.nonce, sizeof(quote.nonce));
    return quote;
}

/* Is the evidence for this question, of these facts on this stream? */
static void check_evidence(const lh_link_evidence *got, const lh_link_quote *quote, uint32_t stream,
    const uint8_t facts[32], const uint8_t ephemeral[32])
{
    lh_evidence evidence;
    lh_evidence_init(&evidence);
    assert_lh_ok(lh_evidence_decode(got->evidence, &evidence));
    lh_evidence_expectation want = {.pcr_mask = quote->pcr_mask};
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_ak_public(f.tpm, &ak));
    want.ak_public = lh_buf_bytes(&ak);
    memcpy(want.leaf.nonce, quote->nonce, 32);
    memcpy(want.leaf.facts, facts, 32);
    memcpy(want.leaf.ephemeral, ephemeral, 32);
    uint8_t number[4] = {0, 0, (uint8_t)(stream >> 8), (uint8_t)stream};
    const lh_bytes parts[] = {
        LH_BYTES_STR("leasehold-channel-tls-v1"), LH_BYTES(f.vault.exporter, 32), LH_BYTES(number, 4)};
    assert_lh_ok(lh_sha256(f.crypto, parts, 3, want.leaf.channel));
    lh_evidence_result result;
    assert_lh_ok(lh_evidence_verify(f.crypto, &evidence, &want, &result));
    uint8_t hash[32];
    assert_lh_ok(lh_sha256(f.crypto, &got->facts, 1, hash));
    assert_memory_equal(hash, facts, 32);
    lh_evidence_deinit(&evidence);
}

/* --- coming up --------------------------------------------------------------------------------------------
 */

static void shows_its_tpm_for_each_kind_of_endorsement_key(void **state)
{
    (void)state;
    static const uint16_t kinds[] = {LH_TPM_EK_P256, LH_TPM_EK_P384, LH_TPM_EK_RSA};
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        vault_accept(&f.vault);
        assert_memory_equal(f.vault.peer, lh_channel_identity_hash(f.channel), 32);
        vault_welcome(&f.vault, f.tpm, kinds[i]);
        vault_run(&f.vault, vault_cut_now);
    }
}

static void credential_for_another_tpm_ends_the_link(void **state)
{
    (void)state;
    vault_accept(&f.vault);
    vault_expect(&f.vault, LH_LINK_HELLO, NULL);
    uint8_t junk[68] = {0, 66};
    const lh_link_activate activate = {LH_BYTES(junk, 68), LH_BYTES(junk, 68)};
    vault_send(&f.vault, LH_LINK_ACTIVATE, 0, &activate);
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    assert_null(f.vault.frames);
    vault_accept(&f.vault); /* and it comes again */
}

static void wrong_order_ends_the_link(void **state)
{
    (void)state;
    const lh_link_welcome welcome = {.host = "x"};
    vault_accept(&f.vault);
    vault_send(&f.vault, LH_LINK_WELCOME, 0, &welcome); /* without a challenge */
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    vault_accept(&f.vault);
    const lh_link_quote quote = question();
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote); /* before it is welcome */
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    vault_accept(&f.vault);
    vault_welcome(&f.vault, f.tpm, LH_TPM_EK_P256);
    vault_send(&f.vault, LH_LINK_WELCOME, 0, &welcome); /* twice */
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
}

static void another_vaults_key_is_refused(void **state)
{
    (void)state;
    vault_start(&f.vault, f.crypto, f.vault_path);
    uint8_t other[32] = {1};
    start_agent(other);
    vault_accept_raw(&f.vault);
    f.vault.closed = false;
    lh_loop_post(f.vault.loop, vault_begin, &f.vault);
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    assert_null(f.vault.frames);
    asking a;
    lh_client *client = connect_client();
    ask(&a, client);
    expect_answer(&a, LH_E_STATE, "vault-refused");
    assert_non_null(strstr(a.detail.message, "channel-pin"));
    lh_client_close(client);
}

static void refusal_reaches_the_application(void **state)
{
    (void)state;
    vault_accept(&f.vault);
    vault_expect(&f.vault, LH_LINK_HELLO, NULL);
    const lh_error_reply refused = {LH_E_DENIED, "host-unknown", "this host is not enrolled"};
    vault_send(&f.vault, LH_LINK_REFUSED, 0, &refused);
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    asking a;
    lh_client *client = connect_client();
    ask(&a, client);
    expect_answer(&a, LH_E_STATE, "vault-refused");
    assert_non_null(strstr(a.detail.message, "this host is not enrolled (host-unknown); ask an officer"));
    /* It comes again; and hears something else, about which enrolling does nothing. */
    vault_accept(&f.vault);
    vault_expect(&f.vault, LH_LINK_HELLO, NULL);
    const lh_error_reply sealed = {LH_E_STATE, "vault-sealed", "The vault is not open."};
    vault_send(&f.vault, LH_LINK_REFUSED, 0, &sealed);
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    ask(&a, client);
    expect_answer(&a, LH_E_STATE, "vault-refused");
    assert_non_null(strstr(a.detail.message, "The vault is not open. (vault-sealed); the agent goes on"));
    lh_client_close(client);
}

static void officers_are_sent_to_the_vault(void **state)
{
    (void)state;
    lh_client *client = NULL;
    assert_lh_refused(lh_client_open(f.socket, LH_KIND_ADMIN, &client), LH_E_DENIED, "wrong-kind");
}

/* --- streams ----------------------------------------------------------------------------------------------
 */

static void first_request_opens_a_signed_stream(void **state)
{
    (void)state;
    lh_client *client = connect_client();
    asking a;
    ask(&a, client);
    lh_link_open opened;
    uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, &opened);
    assert_int_not_equal(stream, 0);
    lh_identity identity;
    assert_lh_ok(lh_facts_decode(opened.facts, &identity));
    assert_int_equal(identity.pid, getpid());
    assert_int_equal(identity.uid, getuid());
    uint8_t hash[32];
    uint8_t digest[32];
    assert_lh_ok(lh_sha256(f.crypto, &opened.facts, 1, hash));
    const uint8_t number[4] = {0, 0, 0, (uint8_t)stream};
    const lh_bytes parts[] = {LH_BYTES_STR("leasehold-open-v1"), LH_BYTES(f.vault.exporter, 32),
        LH_BYTES(number, 4), LH_BYTES(hash, 32)};
    assert_lh_ok(lh_sha256(f.crypto, parts, 4, digest));
    assert_int_equal(opened.ephemeral.len, LH_P256_POINT_SIZE);
    assert_int_equal(opened.signature.len, LH_P256_SIGNATURE_SIZE);
    assert_lh_ok(
        lh_p256_verify(f.crypto, opened.ephemeral.data, LH_BYTES(digest, 32), opened.signature.data));
    lh_link_data data;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_DATA, &data), stream);
    answer_data(&data, stream);
    expect_answer(&a, LH_OK, NULL);
    assert_string_equal(a.info.label, "from the vault");
    /* The second request needs no other stream; another connection has its own, and its own key. */
    ask(&a, client);
    assert_int_equal(vault_expect(&f.vault, LH_LINK_DATA, &data), stream);
    answer_data(&data, stream);
    expect_answer(&a, LH_OK, NULL);
    uint8_t one[32], two[32];
    lh_client *other = connect_client();
    assert_int_not_equal(serve_first(other, one, two), stream);
    lh_client_close(other);
    assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, NULL), stream + 1);
    lh_client_close(client);
    lh_link_close closed;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, &closed), stream);
    assert_string_equal(closed.reason, "closed");
}

/* Processes are read on several threads; numbers rise all the same, in the order in which streams are opened.
 */
static void streams_opened_at_once_have_rising_numbers(void **state)
{
    (void)state;
    lh_client *clients[AT_ONCE];
    asking asked[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        clients[i] = connect_client();
    for (int i = 0; i < AT_ONCE; i++)
        ask(&asked[i], clients[i]);
    uint32_t last = 0;
    for (int i = 0; i < AT_ONCE; i++) {
        lh_link_data data;
        uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, NULL);
        assert_true(stream > last);
        last = stream;
        assert_int_equal(vault_expect(&f.vault, LH_LINK_DATA, &data), stream);
        answer_data(&data, stream);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        expect_answer(&asked[i], LH_OK, NULL);
        lh_client_close(clients[i]);
    }
}

static void exit_of_the_process_closes_its_stream(void **state)
{
    (void)state;
    puppet *p = next_puppet();
    tell(p, 'c');
    assert_int_equal(answer_of(p), 'y');
    tell(p, 'r');
    lh_link_open opened;
    uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, &opened);
    lh_identity identity;
    assert_lh_ok(lh_facts_decode(opened.facts, &identity));
    assert_int_equal(identity.pid, p->pid);
    vault_expect(&f.vault, LH_LINK_DATA, NULL);
    kill(p->pid, SIGKILL);
    lh_link_close closed;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, &closed), stream);
    if (strcmp(closed.reason, "closed") != 0) /* its socket closes in the same moment */
        assert_string_equal(closed.reason, "peer-exit");
}

static uint32_t open_puppet(puppet *p)
{
    tell(p, 'c');
    assert_int_equal(answer_of(p), 'y');
    tell(p, 'r');
    lh_link_data data;
    uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, NULL);
    vault_expect(&f.vault, LH_LINK_DATA, &data);
    answer_data(&data, stream);
    assert_int_equal(answer_of(p), 'y');
    return stream;
}

static void message_of_another_process_closes_the_stream(void **state)
{
    (void)state;
    puppet *p = next_puppet();
    uint32_t stream = open_puppet(p);
    tell(p, 'f');
    assert_int_equal(answer_of(p), 'y');
    lh_link_close closed;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, &closed), stream);
    assert_string_equal(closed.reason, "sender");
}

static void exec_is_found_by_the_next_quote(void **state)
{
    (void)state;
    for (int of_host = 0; of_host < 2; of_host++) {
        puppet *p = next_puppet();
        uint32_t stream = open_puppet(p);
        tell(p, 'e');
        char path[64], exe[64];
        for (int i = 0; i < 1000; i++) { /* until it is another program */
            snprintf(path, sizeof(path), "/proc/%d/exe", (int)p->pid);
            ssize_t n = readlink(path, exe, sizeof(exe) - 1);
            exe[n > 0 ? n : 0] = '\0';
            if (strstr(exe, "sleep"))
                break;
            swtpm_sleep_ms(5);
        }
        const lh_link_quote quote = question();
        vault_send(&f.vault, LH_LINK_QUOTE, of_host ? 0 : stream, &quote);
        lh_link_close closed;
        assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, &closed), stream);
        assert_string_equal(closed.reason, "identity-changed");
        if (of_host) { /* which goes on without it */
            lh_link_evidence got;
            assert_int_equal(vault_expect(&f.vault, LH_LINK_EVIDENCE, &got), 0);
            assert_int_equal(got.facts.len, 0);
        }
    }
}

static void two_requests_at_once_close_the_stream(void **state)
{
    (void)state;
    lh_client *client = connect_client();
    uint32_t stream = serve_first(client, NULL, NULL);
    asking a, b;
    ask(&a, client);
    vault_expect(&f.vault, LH_LINK_DATA, NULL);
    ask(&b, client); /* lh_client does not lock */
    lh_link_close closed;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_CLOSE, &closed), stream);
    assert_string_equal(closed.reason, "protocol");
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    lh_client_close(client);
}

static void close_of_the_vault_reaches_the_application(void **state)
{
    (void)state;
    lh_client *client = connect_client();
    uint32_t stream = serve_first(client, NULL, NULL);
    asking a;
    ask(&a, client);
    vault_expect(&f.vault, LH_LINK_DATA, NULL);
    const lh_link_close close = {"stream-ended"};
    vault_send(&f.vault, LH_LINK_CLOSE, stream, &close);
    expect_answer(&a, LH_E_GONE, "stream-closed");
    assert_non_null(strstr(a.detail.message, "stream-ended"));
    ask(&a, client);
    expect_answer(&a, LH_E_GONE, "connection-closed"); /* undelivered: the module comes again by itself */
    lh_client_close(client);
    assert_false(vault_has_frame(&f.vault, 50)); /* nothing more of that stream */
}

/* --- evidence ---------------------------------------------------------------------------------------------
 */

static void quote_of_an_idle_stream(void **state)
{
    (void)state;
    uint8_t facts[32], ephemeral[32];
    lh_client *client = connect_client();
    uint32_t stream = serve_first(client, facts, ephemeral);
    const lh_link_quote quote = question();
    vault_send(&f.vault, LH_LINK_QUOTE, stream, &quote);
    lh_link_evidence got;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_EVIDENCE, &got), stream);
    check_evidence(&got, &quote, stream, facts, ephemeral);
    lh_client_close(client);
}

static void quote_during_a_request_challenges_the_process(void **state)
{
    (void)state;
    uint8_t facts[32], ephemeral[32];
    lh_client *client = connect_client();
    uint32_t stream = serve_first(client, facts, ephemeral);
    asking a;
    lh_link_data data;
    ask(&a, client);
    vault_expect(&f.vault, LH_LINK_DATA, &data);
    LH_AUTO(lh_buf_free) lh_buf kept = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_buf_append(&kept, data.message.data, data.message.len);
    const lh_link_quote quote = question();
    vault_send(&f.vault, LH_LINK_QUOTE, stream, &quote);
    lh_link_evidence got;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_EVIDENCE, &got), stream); /* the answer is not relayed */
    check_evidence(&got, &quote, stream, facts, ephemeral);
    const lh_link_data again = {lh_buf_bytes(&kept)};
    answer_data(&again, stream);
    expect_answer(&a, LH_OK, NULL);
    lh_client_close(client);
}

/* A client that speaks for itself, and answers challenges as it likes. */
static int raw_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", f.socket);
    LH_AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    const lh_hello_request hello = {LH_WIRE_MAGIC, LH_WIRE_VERSION_MIN, LH_WIRE_VERSION_MAX, LH_KIND_TOKEN};
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_call_request(LH_CALL_HELLO, 1, &hello, &message));
    assert_lh_ok(lh_message_send(fd, lh_buf_bytes(&message), -1, 0));
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    assert_lh_ok(lh_message_recv(fd, 0, &message, &ancillary));
    assert_true(ancillary.fd >= 0);
    return ancillary.fd;
}

static void wrong_answer_to_the_challenge_gets_no_evidence(void **state)
{
    (void)state;
    LH_AUTO_FD fd = raw_connect();
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_call_request(LH_CALL_TOKEN_INFO, 7, NULL, &message));
    assert_lh_ok(lh_message_send(fd, lh_buf_bytes(&message), -1, 0));
    uint32_t stream = vault_expect(&f.vault, LH_LINK_OPEN, NULL);
    vault_expect(&f.vault, LH_LINK_DATA, NULL);
    const lh_link_quote quote = question();
    vault_send(&f.vault, LH_LINK_QUOTE, stream, &quote);
    lh_message_header header;
    lh_bytes body;
    lh_nonce_message nonce;
    assert_lh_ok(lh_message_recv(fd, 0, &message, NULL));
    assert_lh_ok(lh_message_decode(lh_buf_bytes(&message), &header, &body));
    assert_int_equal(header.call, LH_CALL_CHALLENGE);
    assert_int_equal(header.id, 7);
    assert_lh_ok(lh_shape_decode(lh_call_find(LH_CALL_CHALLENGE)->request, body, &nonce));
    nonce.nonce[0] ^= 1;
    assert_lh_ok(lh_call_request(LH_CALL_ANSWER, 7, &nonce, &message));
    assert_lh_ok(lh_message_send(fd, lh_buf_bytes(&message), -1, 0));
    lh_error_reply none;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none), stream);
    assert_int_equal(none.code, LH_E_ATTESTATION);
    assert_string_equal(none.reason, "challenge-wrong");
}

static void quote_of_the_host_is_of_all_streams(void **state)
{
    (void)state;
    uint8_t facts[2][32];
    uint32_t streams[2];
    lh_client *clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = connect_client();
        streams[i] = serve_first(clients[i], facts[i], NULL);
    }
    const lh_link_quote quote = question();
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    lh_link_evidence got;
    assert_int_equal(vault_expect(&f.vault, LH_LINK_EVIDENCE, &got), 0);
    uint8_t want[72] = {0};
    for (int i = 0; i < 2; i++) {
        want[i * 36 + 3] = (uint8_t)streams[i];
        memcpy(want + i * 36 + 4, facts[i], 32);
    }
    assert_int_equal(got.facts.len, sizeof(want));
    assert_memory_equal(got.facts.data, want, sizeof(want));
    uint8_t hash[32], none[32];
    const lh_bytes whole = LH_BYTES(want, sizeof(want));
    assert_lh_ok(lh_sha256(f.crypto, &whole, 1, hash));
    assert_lh_ok(lh_sha256(f.crypto, NULL, 0, none));
    check_evidence(&got, &quote, 0, hash, none);
    for (int i = 0; i < 2; i++)
        lh_client_close(clients[i]);
}

static void logs_come_before_the_evidence(void **state)
{
    (void)state;
    lh_link_quote quote = question();
    quote.want_event_log = 1;
    quote.ima_offset = 0;
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    lh_link_log log;
    vault_expect(&f.vault, LH_LINK_LOG, &log);
    assert_int_equal(log.kind, LH_LOG_EVENTS);
    assert_int_equal(log.offset, 0);
    assert_int_equal(log.chunk.len, 1000);
    vault_expect(&f.vault, LH_LINK_EVIDENCE, NULL); /* an empty IMA log */
    /* Several chunks of what has been added, from where the vault is. */
    uint8_t bytes[4096];
    memset(bytes, 0xff, sizeof(bytes)); /* no entries: given as they are */
    for (int i = 0; i < 40; i++)
        assert_int_equal(pwrite(f.ima_log, bytes, sizeof(bytes), i * 4096), sizeof(bytes));
    quote.want_event_log = 0;
    quote.ima_offset = 4096;
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    for (uint64_t at = 4096; at < 40 * 4096; at += log.chunk.len) {
        vault_expect(&f.vault, LH_LINK_LOG, &log);
        assert_int_equal(log.kind, LH_LOG_IMA);
        assert_int_equal(log.offset, at);
        assert_true(log.chunk.len > 0 && log.chunk.len <= LH_LINK_LOG_MAX);
    }
    vault_expect(&f.vault, LH_LINK_EVIDENCE, NULL);
    assert_int_equal(ftruncate(f.ima_log, 0), 0);
    /* The log is shorter than what the vault says it has. */
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    lh_error_reply none;
    vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none);
    assert_string_equal(none.reason, "log-offset");
}

static void quotes_that_cannot_be(void **state)
{
    (void)state;
    lh_link_quote quote = question();
    lh_error_reply none;
    vault_send(&f.vault, LH_LINK_QUOTE, 77, &quote);
    assert_int_equal(vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none), 77);
    assert_string_equal(none.reason, "stream-unknown");
    quote.pcr_mask = 0;
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    assert_int_equal(vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none), 0);
    assert_int_equal(none.code, LH_E_INVALID);
    quote.pcr_mask = UINT32_MAX;
    vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    assert_int_equal(vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none), 0);
    assert_int_equal(none.code, LH_E_INVALID);
}

static void flood_of_quotes_is_bounded(void **state)
{
    (void)state;
    const lh_link_quote quote = question();
    for (int i = 0; i < 64; i++)
        vault_send(&f.vault, LH_LINK_QUOTE, 0, &quote);
    for (int i = 0; i < 64; i++) {
        assert_true(vault_has_frame(&f.vault, VAULT_WAIT_MS));
        lh_error_reply none;
        if (f.vault.frames->frame.row->type == LH_LINK_EVIDENCE) {
            vault_expect(&f.vault, LH_LINK_EVIDENCE, NULL);
        } else {
            vault_expect(&f.vault, LH_LINK_NO_EVIDENCE, &none);
            assert_string_equal(none.reason, "quote-busy");
        }
    }
}

/* --- a vault that breaks the protocol ---------------------------------------------------------------------
 */

static void expect_ended(void)
{
    assert_true(vault_wait_ms(&f.vault, &f.vault.closed, VAULT_WAIT_MS));
    vault_accept(&f.vault); /* the agent lives, and comes again */
    vault_welcome(&f.vault, f.tpm, LH_TPM_EK_P256);
}

static void unasked_replies_end_the_link(void **state)
{
    (void)state;
    lh_client *client = connect_client();
    uint32_t stream = serve_first(client, NULL, NULL);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_token_info_reply info = {.state = LH_TOKEN_OPEN};
    assert_lh_ok(lh_call_reply(LH_CALL_TOKEN_INFO, 1, &info, &message));
    const lh_link_data data = {lh_buf_bytes(&message)};
    vault_send(&f.vault, LH_LINK_DATA, stream + 5, &data); /* of a stream that may have closed: left aside */
    vault_send(&f.vault, LH_LINK_DATA, stream, &data);
    expect_ended();
    lh_client_close(client);
    /* A challenge of the vault's own, past the agent. */
    client = connect_client();
    asking a;
    ask(&a, client);
    lh_link_data request;
    stream = vault_expect(&f.vault, LH_LINK_OPEN, NULL);
    vault_expect(&f.vault, LH_LINK_DATA, &request);
    lh_nonce_message nonce = {{1}};
    assert_lh_ok(lh_call_request(LH_CALL_CHALLENGE, 2, &nonce, &message));
    const lh_link_data challenge = {lh_buf_bytes(&message)};
    vault_send(&f.vault, LH_LINK_DATA, stream, &challenge);
    expect_ended();
    expect_answer(&a, LH_E_GONE, "vault-unreachable");
    lh_client_close(client);
}

static void data_that_is_no_message_ends_the_link(void **state)
{
    (void)state;
    const lh_link_data data = {LH_BYTES("nonsense", 8)};
    vault_send(&f.vault, LH_LINK_DATA, 1, &data);
    expect_ended();
}

static void malformed_custody_ends_the_link(void **state)
{
    (void)state;
    const lh_link_row *row = lh_link_find(LH_LINK_LEASE_KEY);
    assert_non_null(row);
    assert_lh_ok(lh_link_encode_raw(LH_LINK_LEASE_KEY, 9, LH_BYTES("junk", 4), &f.vault.out));
    vault_run(&f.vault, vault_send_now);
    expect_ended();
}

/* --- loss -------------------------------------------------------------------------------------------------
 */

static void loss_is_told_and_healed(void **state)
{
    (void)state;
    lh_client *client = connect_client();
    serve_first(client, NULL, NULL);
    asking a;
    ask(&a, client);
    vault_expect(&f.vault, LH_LINK_DATA, NULL);
    vault_away(&f.vault);
    expect_answer(&a, LH_E_GONE, "vault-unreachable"); /* it may have been done */
    ask(&a, client);
    expect_answer(&a, LH_E_GONE, "connection-closed"); /* what it had at the vault is gone: hello again */
    lh_client_close(client);
    client = connect_client();
    ask(&a, client);
    expect_answer(&a, LH_E_STATE, "vault-unreachable"); /* it has not been done */
    assert_non_null(strstr(a.detail.message, f.vault_path));
    assert_non_null(strstr(a.detail.message, "since 20"));
    ask(&a, client); /* the connection is good for more */
    expect_answer(&a, LH_E_STATE, "vault-unreachable");
    vault_listen(&f.vault);
    vault_accept(&f.vault);
    vault_welcome(&f.vault, f.tpm, LH_TPM_EK_P256);
    serve_first(client, NULL, NULL); /* the same connection, now with a stream */
    lh_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn, up) cmocka_unit_test_setup_teardown(fn, up, tear_down)
        TEST(shows_its_tpm_for_each_kind_of_endorsement_key, set_up),
        TEST(credential_for_another_tpm_ends_the_link, set_up),
        TEST(wrong_order_ends_the_link, set_up),
        TEST(another_vaults_key_is_refused, NULL),
        TEST(refusal_reaches_the_application, set_up),
        TEST(officers_are_sent_to_the_vault, set_up),
        TEST(first_request_opens_a_signed_stream, set_up_linked),
        TEST(streams_opened_at_once_have_rising_numbers, set_up_linked),
        TEST(exit_of_the_process_closes_its_stream, set_up_linked),
        TEST(message_of_another_process_closes_the_stream, set_up_linked),
        TEST(exec_is_found_by_the_next_quote, set_up_linked),
        TEST(two_requests_at_once_close_the_stream, set_up_linked),
        TEST(close_of_the_vault_reaches_the_application, set_up_linked),
        TEST(quote_of_an_idle_stream, set_up_linked),
        TEST(quote_during_a_request_challenges_the_process, set_up_linked),
        TEST(wrong_answer_to_the_challenge_gets_no_evidence, set_up_linked),
        TEST(quote_of_the_host_is_of_all_streams, set_up_linked),
        TEST(logs_come_before_the_evidence, set_up_linked),
        TEST(quotes_that_cannot_be, set_up_linked),
        TEST(flood_of_quotes_is_bounded, set_up_linked),
        TEST(unasked_replies_end_the_link, set_up_linked),
        TEST(data_that_is_no_message_ends_the_link, set_up_linked),
        TEST(malformed_custody_ends_the_link, set_up_linked),
        TEST(loss_is_told_and_healed, set_up_linked),
    };
    /* Processes first, while there are no threads. */
    strcpy(f.folder, "/tmp/lh-agent-XXXXXX");
    if (!mkdtemp(f.folder))
        return 1;
    snprintf(f.socket, sizeof(f.socket), "%s/agent.sock", f.folder);
    snprintf(f.vault_path, sizeof(f.vault_path), "%s/vault.sock", f.folder);
    signal(SIGPIPE, SIG_IGN);
    int pair[2];
    if (!lh_ok(lh_fd_pair(pair)))
        return 1;
    f.attest_fd = pair[0];
    if (fork() == 0) {
        close(pair[0]);
        _exit(lh_attest_main(pair[1]));
    }
    close(pair[1]);
    for (int i = 0; i < PUPPETS; i++)
        start_puppet(&f.puppets[i]);
    return cmocka_run_group_tests(tests, begin_all, end_all);
}

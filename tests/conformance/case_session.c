/* Sessions and logins. */
#include "suite.h"

#include <string.h>

static CK_STATE state_of(suite *s, CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO i;
    OK(s->f->C_GetSessionInfo(session, &i));
    CHECK(i.slotID == s->slot);
    return i.state;
}

static CK_RV login(suite *s, CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
    return s->f->C_Login(session, user, (unsigned char *)(size_t)pin, strlen(pin));
}

static void open_close(suite *s)
{
    CK_SESSION_HANDLE session;
    IS(CKR_SESSION_PARALLEL_NOT_SUPPORTED, s->f->C_OpenSession(s->slot, 0, NULL, NULL, &session));
    IS(CKR_SLOT_ID_INVALID, s->f->C_OpenSession(0x7ffffffe, CKF_SERIAL_SESSION, NULL, NULL, &session));
    IS(CKR_ARGUMENTS_BAD, s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, NULL));
    session = suite_open(s, 0);
    CHECK(session != CK_INVALID_HANDLE);
    OK(s->f->C_CloseSession(session));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_CloseSession(session));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_CloseSession(CK_INVALID_HANDLE));
    CK_SESSION_INFO i;
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_GetSessionInfo(session, &i));
    CK_SESSION_HANDLE one = suite_open(s, 0);
    CK_SESSION_HANDLE two = suite_open(s, CKF_RW_SESSION);
    CHECK(one != two);
    OK(s->f->C_CloseAllSessions(s->slot));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_CloseSession(one));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_CloseSession(two));
    IS(CKR_SLOT_ID_INVALID, s->f->C_CloseAllSessions(0x7ffffffe));
}

static void states(suite *s)
{
    CK_SESSION_HANDLE ro = suite_open(s, 0);
    CK_SESSION_HANDLE rw = suite_open(s, CKF_RW_SESSION);
    CHECK(state_of(s, ro) == CKS_RO_PUBLIC_SESSION && state_of(s, rw) == CKS_RW_PUBLIC_SESSION);
    suite_login(s, ro); /* of all sessions at once */
    CHECK(state_of(s, ro) == CKS_RO_USER_FUNCTIONS && state_of(s, rw) == CKS_RW_USER_FUNCTIONS);
    OK(s->f->C_Logout(rw));
    CHECK(state_of(s, ro) == CKS_RO_PUBLIC_SESSION && state_of(s, rw) == CKS_RW_PUBLIC_SESSION);
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_Logout(rw));
    IS(CKR_SESSION_READ_ONLY_EXISTS, login(s, rw, CKU_SO, s->so_pin));
    OK(s->f->C_CloseSession(ro));
    OK(login(s, rw, CKU_SO, s->so_pin));
    CHECK(state_of(s, rw) == CKS_RW_SO_FUNCTIONS);
    IS(CKR_SESSION_READ_WRITE_SO_EXISTS, s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &ro));
    OK(s->f->C_Logout(rw));
}

static void login_rules(suite *s)
{
    CK_SESSION_HANDLE rw = suite_open(s, CKF_RW_SESSION);
    IS(CKR_PIN_INCORRECT, login(s, rw, CKU_USER, "not the pin"));
    IS(CKR_USER_TYPE_INVALID, login(s, rw, 77, s->pin));
    IS(CKR_SESSION_HANDLE_INVALID, login(s, 0x7fffffff, CKU_USER, s->pin));
    suite_login(s, rw); /* a right one forgives */
    IS(CKR_USER_ALREADY_LOGGED_IN, login(s, rw, CKU_USER, s->pin));
    IS(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, login(s, rw, CKU_SO, s->so_pin));
    IS(CKR_OPERATION_NOT_INITIALIZED, login(s, rw, CKU_CONTEXT_SPECIFIC, s->pin));
    OK(s->f->C_Logout(rw));
    IS(CKR_PIN_INCORRECT, login(s, rw, CKU_SO, s->pin));
    OK(login(s, rw, CKU_SO, s->so_pin));
    IS(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, login(s, rw, CKU_USER, s->pin));
    OK(s->f->C_Logout(rw));
}

static void last_session_logs_out(suite *s)
{
    OK(s->f->C_CloseAllSessions(s->slot));
    CK_SESSION_HANDLE again = suite_open(s, CKF_RW_SESSION);
    CHECK(state_of(s, again) == CKS_RW_PUBLIC_SESSION);
    suite_login(s, again);
    OK(s->f->C_CloseSession(again));
    again = suite_open(s, 0);
    CHECK(state_of(s, again) == CKS_RO_PUBLIC_SESSION);
}

static CK_RV make_data(suite *s, CK_SESSION_HANDLE session, bool token, bool private, CK_OBJECT_HANDLE *ret)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL is_token = token;
    CK_BBOOL is_private = private;
    char label[] = "conformance-session";
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_TOKEN, is_token), ATTR(CKA_PRIVATE, is_private),
        {CKA_LABEL, label, strlen(label)}, {CKA_VALUE, label, 4}};
    return s->f->C_CreateObject(session, t, 5, ret);
}

static void read_only(suite *s)
{
    CK_SESSION_HANDLE ro = suite_open(s, 0);
    CK_OBJECT_HANDLE object;
    IS(CKR_SESSION_READ_ONLY, make_data(s, ro, true, false, &object));
    OK(make_data(s, ro, false, false, &object)); /* a session object may */
    CK_OBJECT_HANDLE kept;
    OK(make_data(s, s->session, true, false, &kept));
    char label[] = "renamed";
    CK_ATTRIBUTE t = {CKA_LABEL, label, strlen(label)};
    IS(CKR_SESSION_READ_ONLY, s->f->C_SetAttributeValue(ro, kept, &t, 1));
    IS(CKR_SESSION_READ_ONLY, s->f->C_DestroyObject(ro, kept));
    OK(s->f->C_DestroyObject(s->session, kept));
}

static void session_objects(suite *s)
{
    CK_SESSION_HANDLE other = suite_open(s, CKF_RW_SESSION);
    CK_OBJECT_HANDLE object;
    OK(make_data(s, other, false, false, &object));
    char value[8];
    CK_ATTRIBUTE t = {CKA_VALUE, value, sizeof value};
    OK(s->f->C_GetAttributeValue(s->session, object, &t, 1)); /* seen by all sessions of the application */
    OK(s->f->C_CloseSession(other));
    t.ulValueLen = sizeof value;
    IS(CKR_OBJECT_HANDLE_INVALID, s->f->C_GetAttributeValue(s->session, object, &t, 1));
}

static void private_objects(suite *s)
{
    CK_OBJECT_HANDLE object;
    CK_OBJECT_HANDLE visible;
    OK(make_data(s, s->session, true, true, &object));
    OK(make_data(s, s->session, true, false, &visible));
    char label[] = "conformance-session";
    CK_ATTRIBUTE t = {CKA_LABEL, label, strlen(label)};
    CK_ULONG before = find_count(s, &t, 1, NULL);
    OK(s->f->C_Logout(s->session));
    CHECK(find_count(s, &t, 1, NULL) == before - 1);
    char value[8];
    CK_ATTRIBUTE v = {CKA_VALUE, value, sizeof value};
    REFUSED(s->f->C_GetAttributeValue(s->session, object, &v, 1));
    v.ulValueLen = sizeof value;
    OK(s->f->C_GetAttributeValue(s->session, visible, &v, 1));
    IS(CKR_USER_NOT_LOGGED_IN, make_data(s, s->session, true, true, &object));
    suite_login(s, s->session);
    CHECK(find_count(s, &t, 1, NULL) == before);
    CK_OBJECT_HANDLE again;
    while (find_count(s, &t, 1, &again) > 0)
        OK(s->f->C_DestroyObject(s->session, again));
}

static void so_sees_no_private(suite *s)
{
    CK_OBJECT_HANDLE object;
    OK(make_data(s, s->session, true, true, &object));
    OK(s->f->C_Logout(s->session));
    OK(login(s, s->session, CKU_SO, s->so_pin));
    char label[] = "conformance-session";
    CK_ATTRIBUTE t = {CKA_LABEL, label, strlen(label)};
    CK_ULONG seen = find_count(s, &t, 1, NULL);
    OK(s->f->C_Logout(s->session));
    suite_login(s, s->session);
    while (find_count(s, &t, 1, &object) > 0)
        OK(s->f->C_DestroyObject(s->session, object));
    CHECK(seen == 0);
}

static void logout_ends_private_session_objects(suite *s)
{
    CK_OBJECT_HANDLE object;
    OK(make_data(s, s->session, false, true, &object));
    OK(s->f->C_Logout(s->session));
    suite_login(s, s->session);
    char value[8];
    CK_ATTRIBUTE v = {CKA_VALUE, value, sizeof value};
    IS(CKR_OBJECT_HANDLE_INVALID, s->f->C_GetAttributeValue(s->session, object, &v, 1));
}

static void many_sessions(suite *s)
{
    CK_SESSION_HANDLE sessions[1000];
    for (int i = 0; i < 1000; i++)
        sessions[i] = suite_open(s, i % 2 ? CKF_RW_SESSION : 0);
    for (int i = 0; i < 1000; i++)
        OK(s->f->C_CloseSession(sessions[i]));
}

/* Pools may hold 1024 sessions each, needed or not: two of them in one process. */
static void two_pools(suite *s)
{
    CK_TOKEN_INFO t;
    OK(s->f->C_GetTokenInfo(s->slot, &t));
    CHECK(t.ulMaxRwSessionCount == CK_EFFECTIVELY_INFINITE || t.ulMaxRwSessionCount >= 2048);
    for (int i = 0; i < 2048; i++)
        suite_open(s, CKF_RW_SESSION);
    OK(s->f->C_CloseAllSessions(s->slot));
}

const conformance_case cases_session[] = {
    {"session.open-close", "C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo", CASE_NO_LOGIN,
        open_close},
    {"session.states", "C_GetSessionInfo C_Login C_Logout C_OpenSession", CASE_NO_LOGIN, states},
    {"session.login-rules", "C_Login C_Logout", CASE_NO_LOGIN, login_rules},
    {"session.last-logs-out", "C_CloseSession C_CloseAllSessions", 0, last_session_logs_out},
    {"session.read-only", "C_CreateObject C_SetAttributeValue C_DestroyObject", 0, read_only},
    {"session.session-objects", "C_CreateObject C_CloseSession", 0, session_objects},
    {"session.private-objects", "C_Logout C_FindObjects C_GetAttributeValue", 0, private_objects},
    {"session.so-sees-no-private", "C_Login C_FindObjects", 0, so_sees_no_private},
    {"session.logout-ends-private", "C_Logout", 0, logout_ends_private_session_objects},
    {"session.many", "C_OpenSession", CASE_NO_LOGIN, many_sessions},
    {"session.two-pools", "C_OpenSession C_CloseAllSessions C_GetTokenInfo", CASE_NO_LOGIN, two_pools},
    {0},
};

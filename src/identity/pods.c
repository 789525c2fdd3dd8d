#include "identity/pods.h"

#include "codec/schema.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *name; /* lives in the document */
    char labels[LH_IDENTITY_POD_LABELS_SIZE];
} pod_entry;

struct lh_pods {
    lh_yaml *yaml;
    pod_entry *pods; /* sorted by name */
    size_t count;
};

struct lh_pods_file {
    char *path;
    pthread_mutex_t lock;
    bool known; /* the file that stat describes has been read */
    struct stat stat;
    lh_pods *pods;
};

/* --- the document -----------------------------------------------------------------------------------------
 */

/* As lh_proc_container_parse has them. */
static bool is_pod(const char *text)
{
    size_t len = strlen(text);
    return (len == 36 || len == 32) && strspn(text, "0123456789abcdef-") == len;
}

/* What Kubernetes allows in names and values: also '/' in a name's prefix. */
static bool is_label_name(const char *text)
{
    const char *slash = strchr(text, '/');
    return lh_schema_is_name(slash ? slash + 1 : text) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") == strlen(text);
}

static const lh_schema pod_schema = {
    .type = LH_SCHEMA_STRING, .check = is_pod, .expected = "a pod's uid, in lower case"};
static const lh_schema label_schema = {.type = LH_SCHEMA_STRING,
    .check = is_label_name,
    .expected = "a label's name of letters, digits, '.', '_', '-' and '/'"};
static const lh_schema value_schema = {.type = LH_SCHEMA_STRING,
    .check = lh_schema_is_name,
    .expected = "a label's value of letters, digits, '.', '_' and '-'"};
static const lh_schema labels_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of labels",
    .key = &label_schema,
    .item = &value_schema,
    .max = LH_PODS_LABELS};
static const lh_schema pods_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of pods to labels",
    .key = &pod_schema,
    .item = &labels_schema,
    .max = LH_PODS_MAX};
static const lh_schema_field fields[] = {{"pods", &pods_schema, true}, {NULL, NULL, false}};
static const lh_schema document_schema = {
    .type = LH_SCHEMA_MAP, .fields = fields, .expected = "a document of pods"};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const pod_entry *)a)->name, ((const pod_entry *)b)->name);
}

static int compare_nodes(const void *a, const void *b)
{
    return strcmp(
        lh_yaml_node_key(*(const lh_yaml_node *const *)a), lh_yaml_node_key(*(const lh_yaml_node *const *)b));
}

static void take_labels(pod_entry *pod, const lh_yaml_node *labels, lh_problems *problems)
{
    const lh_yaml_node *sorted[LH_PODS_LABELS];
    size_t count = 0;
    for (const lh_yaml_node *at = lh_yaml_node_first(labels); at && count < LH_PODS_LABELS;
         at = lh_yaml_node_next(at))
        sorted[count++] = at;
    qsort(sorted, count, sizeof(sorted[0]), compare_nodes);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(pod->labels + len, sizeof(pod->labels) - len, "%s=%s\n", lh_yaml_node_key(sorted[i]),
            lh_yaml_node_text(sorted[i]));
        if (n < 0 || (size_t)n >= sizeof(pod->labels) - len) {
            pod->labels[len] = '\0';
            lh_problem_add(problems, LH_SEVERITY_ERROR, lh_yaml_node_place(labels), "pods",
                "expected labels of at most %zu bytes in all, found more", sizeof(pod->labels) - 1);
            return;
        }
        len += (size_t)n;
    }
}

lh_err lh_pods_parse(lh_bytes doc, const char *file, lh_pods **ret, lh_problems *problems)
{
    lh_problems_set_file(problems, file);
    size_t before = problems->errors;
    LH_AUTO(lh_pods_freep) lh_pods *pods = calloc(1, sizeof(*pods));
    if (!pods)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_yaml_parse(doc, &pods->yaml, problems));
    const lh_yaml_node *root = lh_yaml_root(pods->yaml);
    if (!lh_schema_walk(root, &document_schema, problems))
        return lh_problems_status(problems, "document of pods");
    const lh_yaml_node *list = lh_yaml_get(root, "pods");
    pods->pods = calloc(lh_yaml_node_count(list) + 1, sizeof(*pods->pods));
    if (!pods->pods)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (const lh_yaml_node *at = lh_yaml_node_first(list); at; at = lh_yaml_node_next(at)) {
        pod_entry *pod = &pods->pods[pods->count++];
        pod->name = lh_yaml_node_key(at);
        take_labels(pod, at, problems);
    }
    if (problems->errors != before)
        return lh_problems_status(problems, "document of pods");
    if (pods->count > 0)
        qsort(pods->pods, pods->count, sizeof(*pods->pods), compare_names);
    *ret = LH_TAKE(pods);
    return LH_SUCCESS;
}

void lh_pods_free(lh_pods *pods)
{
    if (!pods)
        return;
    free(pods->pods);
    lh_yaml_free(pods->yaml);
    free(pods);
}

const char *lh_pods_labels(const lh_pods *pods, const char *pod)
{
    const pod_entry wanted = {.name = pod};
    const pod_entry *found =
        pods->count ? bsearch(&wanted, pods->pods, pods->count, sizeof(wanted), compare_names) : NULL;
    return found ? found->labels : "";
}

/* --- the file ---------------------------------------------------------------------------------------------
 */

lh_err lh_pods_file_new(const char *path, lh_pods_file **ret)
{
    lh_pods_file *file = calloc(1, sizeof(*file));
    if (!file)
        return LH_RAISE(LH_E_NOMEM, 0);
    file->path = strdup(path);
    if (!file->path) {
        free(file);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    pthread_mutex_init(&file->lock, NULL);
    *ret = file;
    return LH_SUCCESS;
}

void lh_pods_file_free(lh_pods_file *file)
{
    if (!file)
        return;
    lh_pods_free(file->pods);
    pthread_mutex_destroy(&file->lock);
    free(file->path);
    free(file);
}

static lh_err refuse(const lh_pods_file *file, const char *why)
{
    return LH_REFUSE(LH_E_ATTESTATION, "pods-file", "the file of pods' labels, %s, %s", file->path, why);
}

static bool is_trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* The folder, and the file in it, without following a link. */
static lh_err open_file(const lh_pods_file *file, int *ret, struct stat *ret_stat)
{
    LH_AUTO(lh_freep) char *folder = strdup(file->path);
    if (!folder)
        return LH_RAISE(LH_E_NOMEM, 0);
    char *slash = strrchr(folder, '/');
    const char *name = slash ? file->path + (slash - folder) + 1 : file->path;
    if (slash)
        slash[slash == folder ? 1 : 0] = '\0';
    LH_AUTO_FD at = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (at < 0 || fstat(at, &st) != 0)
        return refuse(file, "is in a folder that cannot be read");
    if (!is_trusted(&st))
        return refuse(file, "is in a folder that others than root can write");
    LH_AUTO_FD fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_stat) != 0)
        return refuse(file, "cannot be read");
    if (!S_ISREG(ret_stat->st_mode) || !is_trusted(ret_stat))
        return refuse(file, "must be a regular file of root's that nobody else can write");
    *ret = lh_fd_take(&fd);
    return LH_SUCCESS;
}

static lh_err read_file(const lh_pods_file *file, int fd, lh_pods **ret)
{
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(LH_PODS_FILE_MAX);
    for (;;) {
        uint8_t part[16384];
        ssize_t n = read(fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse(file, "cannot be read");
        if (n == 0)
            break;
        lh_buf_append(&doc, part, (size_t)n);
        if (!lh_ok(lh_buf_status(&doc)))
            return refuse(file, "is too large");
    }
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_pods_parse(lh_buf_bytes(&doc), file->path, ret, &problems);
    lh_problems_clear(&problems);
    return err.code == LH_E_INVALID ? refuse(file, "is not as its format says") : err;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* With the lock held. */
static lh_err refresh(lh_pods_file *file)
{
    LH_AUTO_FD fd = -1;
    struct stat st;
    lh_err err = open_file(file, &fd, &st);
    if (lh_ok(err) && file->known && same_file(&st, &file->stat))
        return LH_SUCCESS;
    file->known = false;
    lh_pods_free(file->pods);
    file->pods = NULL;
    LH_TRY(err);
    LH_TRY(read_file(file, fd, &file->pods));
    file->stat = st;
    file->known = true;
    return LH_SUCCESS;
}

lh_err lh_pods_file_labels(lh_pods_file *file, const char *pod, char ret[LH_IDENTITY_POD_LABELS_SIZE])
{
    pthread_mutex_lock(&file->lock);
    lh_err err = refresh(file);
    if (lh_ok(err))
        (void)snprintf(ret, LH_IDENTITY_POD_LABELS_SIZE, "%s", lh_pods_labels(file->pods, pod));
    pthread_mutex_unlock(&file->lock);
    return err;
}

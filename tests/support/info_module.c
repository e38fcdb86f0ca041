/* A server module that says in INFO what its arguments tell it to: NAME FIELD=NUMBER... Tests load it under the names of modules that no
 * package holds, so that a real server frames the fields. Of the module interface (Redis 6.0 and later, Valkey) it declares by hand the few
 * functions that it needs; a server hands them out by name through the first pointer of the context. Load each module from a file of its own,
 * since one file is one set of variables. */
#include <stdlib.h>
#include <string.h>

typedef struct Context Context;
typedef struct InfoContext InfoContext;
typedef struct String String;
typedef void (*InfoFunction)(InfoContext *, int);

enum { OK = 0, ERROR = 1, INTERFACE_VERSION = 1, MODULE_VERSION = 10203, MOST_FIELDS = 128, LONGEST_WORD = 128 };

static int (*get_api)(const char *, void *);
static int (*set_attributes)(Context *, const char *, int, int);
static const char *(*text_of)(const String *, size_t *);
static int (*register_info)(Context *, InfoFunction);
static int (*add_section)(InfoContext *, const char *);
static int (*add_text)(InfoContext *, const char *, const char *);

static char module_name[LONGEST_WORD];
static char fields[MOST_FIELDS][LONGEST_WORD];
static char values[MOST_FIELDS][LONGEST_WORD];
static int field_count;

static void tell(InfoContext *info, int for_crash_report) {
    (void)for_crash_report;
    add_section(info, "told");
    for (int at = 0; at < field_count; at++) add_text(info, fields[at], values[at]);
}

static int copy(char *into, const char *from, size_t length) {
    if (length == 0 || length >= LONGEST_WORD) return ERROR;
    memcpy(into, from, length);
    into[length] = 0;
    return OK;
}

__attribute__((visibility("default"))) int RedisModule_OnLoad(Context *context, String **arguments, int count) {
    get_api = (int (*)(const char *, void *))(size_t)((void **)context)[0];
    if (get_api("RedisModule_SetModuleAttribs", &set_attributes) != OK || get_api("RedisModule_StringPtrLen", &text_of) != OK ||
        get_api("RedisModule_RegisterInfoFunc", &register_info) != OK || get_api("RedisModule_InfoAddSection", &add_section) != OK ||
        get_api("RedisModule_InfoAddFieldCString", &add_text) != OK || count < 1 || count > MOST_FIELDS)
        return ERROR;
    size_t length;
    const char *word = text_of(arguments[0], &length);
    if (copy(module_name, word, length) != OK) return ERROR;
    for (int at = 1; at < count; at++) {
        word = text_of(arguments[at], &length);
        const char *equals = memchr(word, '=', length);
        if (!equals || copy(fields[field_count], word, (size_t)(equals - word)) != OK ||
            copy(values[field_count], equals + 1, length - (size_t)(equals - word) - 1) != OK)
            return ERROR;
        field_count++;
    }
    set_attributes(context, module_name, MODULE_VERSION, INTERFACE_VERSION);
    return register_info(context, tell);
}

/* JSON as a tree: enough for the records of a simulated machine. Numbers keep their text, so nothing is rounded. */
#ifndef PARTITA_JSON_H
#define PARTITA_JSON_H

#include <stdbool.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    char *key;  /* in an object */
    char *text; /* of a string, in UTF-8, or of a number */
    struct json *children;
    struct json *next;
};

/* The tree of a text, to be freed; NULL for anything that is not one JSON value. */
struct json *json_parse(const char *text);
void json_free(struct json *value);

/* The value as text, to be freed. */
char *json_write(const struct json *value);

struct json *json_new(enum json_kind kind, const char *text);
struct json *json_new_number(long long number);
struct json *json_new_flag(bool flag);

/* A member of an object, or NULL. A NULL object has none, and neither has a value of another kind. */
struct json *json_get(const struct json *object, const char *key);
const char *json_text(const struct json *object, const char *key, const char *otherwise);
long long json_number(const struct json *number, long long otherwise);
long long json_integer(const struct json *object, const char *key, long long otherwise);
double json_real(const struct json *object, const char *key, double otherwise);
bool json_flag(const struct json *object, const char *key);
bool json_present(const struct json *object, const char *key); /* and not null */

int json_count(const struct json *list);
struct json *json_at(const struct json *list, int index);
bool json_holds(const struct json *list, long long number);

/* These take the value over. json_set replaces a member that is there. */
void json_set(struct json *object, const char *key, struct json *value);
void json_append(struct json *list, struct json *value);
void json_remove(struct json *list, struct json *value);

/* The array of an object, made where it is missing. */
struct json *json_list(struct json *object, const char *key);

#define json_each(item, list) \
    for (struct json *item = (list) ? (list)->children : (struct json *)0; item; item = item->next)

#endif

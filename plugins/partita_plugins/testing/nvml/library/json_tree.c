/* Making, reading and changing a tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

struct json *json_new(enum json_kind kind, const char *text)
{
    struct json *value = calloc(1, sizeof *value);
    value->kind = kind;
    value->text = text ? strdup(text) : NULL;
    return value;
}

struct json *json_new_number(long long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    return json_new(JSON_NUMBER, text);
}

struct json *json_new_flag(bool flag)
{
    return json_new(flag ? JSON_TRUE : JSON_FALSE, NULL);
}

void json_free(struct json *value)
{
    if (!value)
        return;
    for (struct json *child = value->children, *next; child; child = next) {
        next = child->next;
        json_free(child);
    }
    free(value->key);
    free(value->text);
    free(value);
}

struct json *json_get(const struct json *object, const char *key)
{
    json_each(member, object)
        if (member->key && strcmp(member->key, key) == 0)
            return member;
    return NULL;
}

const char *json_text(const struct json *object, const char *key, const char *otherwise)
{
    const struct json *found = json_get(object, key);
    return found && found->kind == JSON_STRING ? found->text : otherwise;
}

long long json_number(const struct json *number, long long otherwise)
{
    return number && number->kind == JSON_NUMBER ? strtoll(number->text, NULL, 10) : otherwise;
}

long long json_integer(const struct json *object, const char *key, long long otherwise)
{
    return json_number(json_get(object, key), otherwise);
}

double json_real(const struct json *object, const char *key, double otherwise)
{
    const struct json *found = json_get(object, key);
    return found && found->kind == JSON_NUMBER ? strtod(found->text, NULL) : otherwise;
}

bool json_flag(const struct json *object, const char *key)
{
    const struct json *found = json_get(object, key);
    return found && found->kind == JSON_TRUE;
}

bool json_present(const struct json *object, const char *key)
{
    const struct json *found = json_get(object, key);
    return found && found->kind != JSON_NULL;
}

int json_count(const struct json *list)
{
    int count = 0;
    json_each(item, list)
        count++;
    return count;
}

struct json *json_at(const struct json *list, int index)
{
    json_each(item, list)
        if (index-- == 0)
            return item;
    return NULL;
}

bool json_holds(const struct json *list, long long number)
{
    json_each(item, list)
        if (item->kind == JSON_NUMBER && json_number(item, 0) == number)
            return true;
    return false;
}

void json_append(struct json *list, struct json *value)
{
    struct json **end = &list->children;
    while (*end)
        end = &(*end)->next;
    *end = value;
}

void json_remove(struct json *list, struct json *value)
{
    for (struct json **at = &list->children; *at; at = &(*at)->next)
        if (*at == value) {
            *at = value->next;
            json_free(value);
            return;
        }
}

void json_set(struct json *object, const char *key, struct json *value)
{
    struct json *found = json_get(object, key);
    if (found)
        json_remove(object, found);
    value->key = strdup(key);
    json_append(object, value);
}

struct json *json_list(struct json *object, const char *key)
{
    struct json *found = json_get(object, key);
    if (!found) {
        found = json_new(JSON_ARRAY, NULL);
        json_set(object, key, found);
    }
    return found;
}

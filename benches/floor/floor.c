/* The least that a correct executor must do, to be the denominator of every ratio.
 *
 * run_positional, run_keywords: call each node in order with its predecessors' results, keep all results.
 * run_code: the same for code nodes: sanitised inputs in a fresh local namespace, a fresh global namespace with fresh
 * builtins, evaluation, outputs filtered (no private names, no modules, no inputs) and checked to be plain JSON.
 *
 * No scheduler, no features. Every call that can fail is checked: an executor may not skip that either.
 *
 * plan(bodies, names, keywords, indices): sequences with an entry a node; `keywords` holds tuples of input names,
 * `indices` tuples of predecessors' positions.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static PyObject *str_result, *str_builtins;

/* What does not change from run to run: four tuples, checked once. */
typedef struct {
    PyObject *bodies, *names, *keywords, *indices;
    PyObject *input_sets; /* a frozenset of input names each */
    Py_ssize_t count, widest;
    int all_code; /* every body is a code object */
} Plan;

typedef struct {
    PyObject *keywords; /* tuple of str */
    PyObject *indices;  /* tuple of int */
    PyObject *set;      /* the same names as a frozenset */
    Py_ssize_t count;
} Edges;

#define PLAN "nexus_core_floor.plan"

static void
free_plan(Plan *plan)
{
    Py_XDECREF(plan->bodies);
    Py_XDECREF(plan->names);
    Py_XDECREF(plan->keywords);
    Py_XDECREF(plan->indices);
    Py_XDECREF(plan->input_sets);
    PyMem_Free(plan);
}

static void
free_capsule(PyObject *capsule)
{
    Plan *plan = PyCapsule_GetPointer(capsule, PLAN);
    if (plan)
        free_plan(plan);
}

static int
check_plan(Plan *plan)
{
    Py_ssize_t n = plan->count;
    if (PyTuple_GET_SIZE(plan->names) != n || PyTuple_GET_SIZE(plan->keywords) != n ||
        PyTuple_GET_SIZE(plan->indices) != n) {
        PyErr_SetString(PyExc_ValueError, "bodies, names, keywords and indices must be equally long");
        return -1;
    }
    plan->all_code = 1;
    plan->input_sets = PyTuple_New(n);
    if (!plan->input_sets)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        plan->all_code &= PyCode_Check(PyTuple_GET_ITEM(plan->bodies, i));
        PyObject *kw = PyTuple_GET_ITEM(plan->keywords, i), *ix = PyTuple_GET_ITEM(plan->indices, i);
        if (!PyTuple_Check(kw) || !PyTuple_Check(ix) || PyTuple_GET_SIZE(kw) != PyTuple_GET_SIZE(ix)) {
            PyErr_Format(PyExc_ValueError, "node %zd: input names and indices must be tuples of one length", i);
            return -1;
        }
        for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(ix); j++) {
            Py_ssize_t at = PyLong_AsSsize_t(PyTuple_GET_ITEM(ix, j));
            if (at == -1 && PyErr_Occurred())
                return -1;
            if (at < 0 || at >= i) {
                PyErr_Format(PyExc_ValueError, "node %zd: predecessor %zd does not come before it", i, at);
                return -1;
            }
        }
        PyObject *set = PyFrozenSet_New(kw);
        if (!set)
            return -1;
        PyTuple_SET_ITEM(plan->input_sets, i, set);
        if (PyTuple_GET_SIZE(ix) > plan->widest)
            plan->widest = PyTuple_GET_SIZE(ix);
    }
    return 0;
}

static PyObject *
make_plan(PyObject *self, PyObject *args)
{
    PyObject *bodies, *names, *keywords, *indices;
    if (!PyArg_ParseTuple(args, "OOOO", &bodies, &names, &keywords, &indices))
        return NULL;
    Plan *plan = PyMem_Calloc(1, sizeof(Plan));
    if (!plan)
        return PyErr_NoMemory();
    if (!(plan->bodies = PySequence_Tuple(bodies)) || !(plan->names = PySequence_Tuple(names)) ||
        !(plan->keywords = PySequence_Tuple(keywords)) || !(plan->indices = PySequence_Tuple(indices)))
        goto fail;
    plan->count = PyTuple_GET_SIZE(plan->bodies);
    if (check_plan(plan) < 0)
        goto fail;
    PyObject *capsule = PyCapsule_New(plan, PLAN, free_capsule);
    if (capsule)
        return capsule;
fail:
    free_plan(plan);
    return NULL;
}

static inline Edges
edges_of(Plan *plan, Py_ssize_t i)
{
    Edges e = {PyTuple_GET_ITEM(plan->keywords, i), PyTuple_GET_ITEM(plan->indices, i),
               PyTuple_GET_ITEM(plan->input_sets, i), 0};
    e.count = PyTuple_GET_SIZE(e.indices);
    return e;
}

/* Results are kept alive by the dict, so the array holds borrowed references. */
static PyObject *
run_calls(PyObject *capsule, int by_name)
{
    Plan *plan = PyCapsule_GetPointer(capsule, PLAN);
    if (!plan)
        return NULL;
    Py_ssize_t n = plan->count;
    PyObject *results = PyDict_New();
    PyObject **out = PyMem_New(PyObject *, n + 1);
    PyObject **stack = PyMem_New(PyObject *, plan->widest + 1);
    if (!results || !out || !stack) {
        PyErr_NoMemory();
        goto fail;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Edges e = edges_of(plan, i);
        for (Py_ssize_t j = 0; j < e.count; j++)
            stack[j + 1] = out[PyLong_AsSsize_t(PyTuple_GET_ITEM(e.indices, j))];
        size_t positional = (size_t)(by_name ? 0 : e.count) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        PyObject *names_of_inputs = by_name && e.count ? e.keywords : NULL;
        PyObject *r = PyObject_Vectorcall(PyTuple_GET_ITEM(plan->bodies, i), stack + 1, positional, names_of_inputs);
        if (!r)
            goto fail;
        out[i] = r;
        int failed = PyDict_SetItem(results, PyTuple_GET_ITEM(plan->names, i), r);
        Py_DECREF(r);
        if (failed < 0)
            goto fail;
    }
    PyMem_Free(out);
    PyMem_Free(stack);
    return results;
fail:
    PyMem_Free(out);
    PyMem_Free(stack);
    Py_XDECREF(results);
    return NULL;
}

static PyObject *
run_positional(PyObject *self, PyObject *plan)
{
    return run_calls(plan, 0);
}

static PyObject *
run_keywords(PyObject *self, PyObject *plan)
{
    return run_calls(plan, 1);
}

static int
has_markup(PyObject *text)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    if (PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND)
        return memchr(PyUnicode_1BYTE_DATA(text), '<', (size_t)n) != NULL;
    return PyUnicode_FindChar(text, '<', 0, n, 1) >= 0;
}

/* A new reference: containers rebuilt, text scanned. Text that would have to be cleaned is refused, because the floor's
 * workloads have none and passing it on unclean would be a lie. */
static PyObject *
sanitised(PyObject *o)
{
    if (PyDict_CheckExact(o)) {
        if (Py_EnterRecursiveCall(" while sanitising"))
            return NULL;
        PyObject *copy = PyDict_New(), *key, *value;
        Py_ssize_t at = 0;
        while (copy && PyDict_Next(o, &at, &key, &value)) {
            PyObject *clean = sanitised(value);
            if (!clean || PyDict_SetItem(copy, key, clean) < 0)
                Py_CLEAR(copy);
            Py_XDECREF(clean);
        }
        Py_LeaveRecursiveCall();
        return copy;
    }
    if (PyList_CheckExact(o)) {
        if (Py_EnterRecursiveCall(" while sanitising"))
            return NULL;
        Py_ssize_t n = PyList_GET_SIZE(o);
        PyObject *copy = PyList_New(n);
        for (Py_ssize_t i = 0; copy && i < n; i++) {
            PyObject *clean = sanitised(PyList_GET_ITEM(o, i));
            if (clean)
                PyList_SET_ITEM(copy, i, clean);
            else
                Py_CLEAR(copy);
        }
        Py_LeaveRecursiveCall();
        return copy;
    }
    if (PyUnicode_Check(o) && has_markup(o)) {
        PyErr_SetString(PyExc_ValueError, "the floor does not clean markup");
        return NULL;
    }
    return Py_NewRef(o);
}

/* 1 plain JSON, 0 not, -1 error. */
static int
is_json(PyObject *o)
{
    if (o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) || PyUnicode_CheckExact(o))
        return 1;
    if (!PyDict_CheckExact(o) && !PyList_CheckExact(o))
        return 0;
    if (Py_EnterRecursiveCall(" while checking outputs"))
        return -1;
    int plain = 1;
    if (PyDict_CheckExact(o)) {
        PyObject *key, *value;
        Py_ssize_t at = 0;
        while (plain == 1 && PyDict_Next(o, &at, &key, &value))
            plain = PyUnicode_CheckExact(key) ? is_json(value) : 0;
    }
    else {
        for (Py_ssize_t i = 0; plain == 1 && i < PyList_GET_SIZE(o); i++)
            plain = is_json(PyList_GET_ITEM(o, i));
    }
    Py_LeaveRecursiveCall();
    return plain;
}

/* 1 it is, 0 it is not, -1 error. A scan beats hashing for a few names only. */
static int
is_input(PyObject *key, Edges e)
{
    if (e.count > 4)
        return PySet_Contains(e.set, key);
    for (Py_ssize_t j = 0; j < e.count; j++)
        if (key == PyTuple_GET_ITEM(e.keywords, j))
            return 1;
    return 0;
}

static PyObject *
outputs_of(PyObject *locals, Edges e)
{
    PyObject *outputs = PyDict_New(), *key, *value;
    Py_ssize_t at = 0;
    while (outputs && PyDict_Next(locals, &at, &key, &value)) {
        if (!PyUnicode_Check(key) || !PyUnicode_GET_LENGTH(key) || PyUnicode_READ_CHAR(key, 0) == '_' ||
            PyModule_Check(value))
            continue;
        int input = is_input(key, e);
        if (input > 0)
            continue;
        int plain = input < 0 ? -1 : is_json(value);
        if (plain == 0)
            PyErr_Format(PyExc_ValueError, "output %R is not JSON", key);
        if (plain != 1 || PyDict_SetItem(outputs, key, value) < 0)
            Py_CLEAR(outputs);
    }
    return outputs;
}

static PyObject *
run_one(PyObject *code, PyObject *locals, PyObject *modules, PyObject *builtins, Edges e)
{
    PyObject *outputs = NULL, *evaluated = NULL;
    PyObject *globals = PyDict_Copy(modules), *own_builtins = PyDict_Copy(builtins);
    if (globals && own_builtins && PyDict_SetItem(globals, str_builtins, own_builtins) == 0)
        evaluated = PyEval_EvalCode(code, globals, locals);
    if (evaluated)
        outputs = outputs_of(locals, e);
    Py_XDECREF(evaluated);
    Py_XDECREF(own_builtins);
    Py_XDECREF(globals);
    return outputs;
}

static PyObject *
run_code(PyObject *self, PyObject *args)
{
    PyObject *capsule, *modules, *builtins;
    if (!PyArg_ParseTuple(args, "OO!O!", &capsule, &PyDict_Type, &modules, &PyDict_Type, &builtins))
        return NULL;
    Plan *plan = PyCapsule_GetPointer(capsule, PLAN);
    if (!plan)
        return NULL;
    Py_ssize_t n = plan->count;
    if (!plan->all_code) {
        PyErr_SetString(PyExc_TypeError, "run_code needs a plan whose bodies are code objects");
        return NULL;
    }
    PyObject *results = PyDict_New();
    PyObject **out = PyMem_New(PyObject *, n + 1);
    if (!results || !out) {
        PyErr_NoMemory();
        goto fail;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Edges e = edges_of(plan, i);
        PyObject *locals = PyDict_New();
        for (Py_ssize_t j = 0; locals && j < e.count; j++) {
            PyObject *source = out[PyLong_AsSsize_t(PyTuple_GET_ITEM(e.indices, j))];
            PyObject *value = PyDict_GetItemWithError(source, str_result);
            if (!value && !PyErr_Occurred())
                PyErr_Format(PyExc_KeyError, "node %zd: its predecessor has no 'result'", i);
            PyObject *clean = value ? sanitised(value) : NULL;
            if (!clean || PyDict_SetItem(locals, PyTuple_GET_ITEM(e.keywords, j), clean) < 0)
                Py_CLEAR(locals);
            Py_XDECREF(clean);
        }
        if (!locals)
            goto fail;
        PyObject *outputs = run_one(PyTuple_GET_ITEM(plan->bodies, i), locals, modules, builtins, e);
        Py_DECREF(locals);
        if (!outputs)
            goto fail;
        out[i] = outputs;
        int failed = PyDict_SetItem(results, PyTuple_GET_ITEM(plan->names, i), outputs);
        Py_DECREF(outputs);
        if (failed < 0)
            goto fail;
    }
    PyMem_Free(out);
    return results;
fail:
    PyMem_Free(out);
    Py_XDECREF(results);
    return NULL;
}

static PyMethodDef methods[] = {
    {"plan", make_plan, METH_VARARGS, "plan(bodies, names, keywords, indices) -> capsule"},
    {"run_positional", run_positional, METH_O, "run_positional(plan) -> dict"},
    {"run_keywords", run_keywords, METH_O, "run_keywords(plan) -> dict"},
    {"run_code", run_code, METH_VARARGS, "run_code(plan, modules, builtins) -> dict"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "nexus_core_floor",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_nexus_core_floor(void)
{
    str_result = PyUnicode_InternFromString("result");
    str_builtins = PyUnicode_InternFromString("__builtins__");
    if (!str_result || !str_builtins)
        return NULL;
    return PyModule_Create(&definition);
}

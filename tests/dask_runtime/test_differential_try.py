from differential.test_fixed_cases import *

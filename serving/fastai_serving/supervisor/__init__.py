"""PID 1 of a serving container: check the model folder, start multi-model-server, look after it.

Imports ``user_code`` (which script is run, its packages) and the modules of ``fastai_serving`` itself; never
``worker``, which runs in other processes, and never torch.
"""

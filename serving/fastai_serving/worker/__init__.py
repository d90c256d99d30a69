"""A worker process of multi-model-server: load a model, respond to batches of requests.

``handler`` is what multi-model-server calls. Imports ``user_code`` and the modules of ``fastai_serving`` itself; never
``supervisor``. Nothing but ``fastai_sagemaker.predict``, which runs a compiled model without a server, imports it.
"""

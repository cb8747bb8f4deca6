"""How late do planes leave New York, where, when, and is it the weather?"""
